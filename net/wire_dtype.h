#ifndef PARLEY_NET_WIRE_DTYPE_H_
#define PARLEY_NET_WIRE_DTYPE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"

namespace parley {

// How gradients and parameters, which are float32 at both ends, are written in a payload.

// Bytes of an element; 0 for a type that cannot travel.
size_t WireBytes(v1::DType dtype);

// From a flag: float32, bfloat16, float16. INVALID_ARGUMENT names them.
absl::StatusOr<v1::DType> ParseWireDType(absl::string_view name);

// `count` elements to and from the wire, whose bytes may begin anywhere; 16-bit ones are rounded to
// nearest even (base/half.h). `dtype` is one that travels. ToWire returns whether all that it wrote
// is finite, which costs no pass of its own; all is written either way. Pure.
bool ToWire(v1::DType dtype, const float* in, size_t count, void* out);
void FromWire(v1::DType dtype, const void* in, size_t count, float* out);

// Whether `count` elements on the wire are all finite. As above.
bool AllFiniteOnWire(v1::DType dtype, const void* in, size_t count);

}  // namespace parley

#endif  // PARLEY_NET_WIRE_DTYPE_H_
