#ifndef PARLEY_NET_ROW_WIRE_H_
#define PARLEY_NET_ROW_WIRE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"

namespace parley {

// How rows of tables, and their gradients, are written in a payload. Besides the dtypes of
// net/wire_dtype.h, a row of which is its elements, there is INT8: a scale s, float32, then for
// each element x a signed byte q, in [-127, 127], then zeros up to a multiple of 4 bytes.
//   s = max |x| / 127        q = x / s, rounded to nearest even
// An element is read as q s. It differs from x by at most s / 2 = max |x| / 254, apart from the
// roundings of float32 (linear, symmetric, by row: Guan et al., 2019). A row of zeros has s = 0,
// and so has one of nothing but numbers below 127 * 2^-149; one with a NaN or an infinity has s =
// NaN.

// Bytes of a row; 0 for a type in which rows cannot travel.
size_t RowWireBytes(v1::DType dtype, size_t width);

// From a flag: float32, bfloat16, float16, int8. INVALID_ARGUMENT names them.
absl::StatusOr<v1::DType> ParseRowDType(absl::string_view name);

// One row, which may begin anywhere in memory; `dtype` is one that travels. Pure, and the same bits
// everywhere.
void RowToWire(v1::DType dtype, const float* in, size_t width, void* out);
void RowFromWire(v1::DType dtype, const void* in, size_t width, float* out);

// Whether all elements of `rows` rows, one behind another, are finite as they are read.
bool RowsFiniteOnWire(v1::DType dtype, const void* in, size_t rows, size_t width);

}  // namespace parley

#endif  // PARLEY_NET_ROW_WIRE_H_
