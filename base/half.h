#ifndef PARLEY_BASE_HALF_H_
#define PARLEY_BASE_HALF_H_

#include <cstddef>
#include <cstdint>

namespace parley {

// Numbers of 16 bits, as their bits, to and from float32. Rounded to nearest even; what is too
// large becomes an infinity, and NaN stays NaN. Numbers may begin at any address. Pure.
//
// Those that narrow return whether all that they wrote are finite: false also when a finite float32
// was too large. All are written either way.

// The upper half of a float32.
bool ToBFloat16(const float* in, size_t count, void* out);
void FromBFloat16(const void* in, size_t count, float* out);

// IEEE 754 binary16.
bool ToFloat16(const float* in, size_t count, void* out);
void FromFloat16(const void* in, size_t count, float* out);

}  // namespace parley

#endif  // PARLEY_BASE_HALF_H_
