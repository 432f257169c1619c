#ifndef PARLEY_PS_SUM_TILE_H_
#define PARLEY_PS_SUM_TILE_H_

#include <cstddef>

#include "absl/types/span.h"
#include "proto/job.pb.h"

namespace parley {

// Adds arrays of `size` elements of `dtype` (net/wire_dtype.h), 16-bit ones widened first, in one
// pass over all of them:
//   out[i] = (((start[i] + in[0][at + i]) + in[1][at + i]) + ...) * factor
// in float32, each operation rounded, in this order. Without a `start` (null) the sum begins with
// in[0]. `in` has at least one array; they begin at any address. `start` may be `out`; nothing else
// overlaps. Pure.
void SumTile(v1::DType dtype, absl::Span<const std::byte* const> in, size_t at, const float* start,
             float factor, size_t size, float* out);

}  // namespace parley

#endif  // PARLEY_PS_SUM_TILE_H_
