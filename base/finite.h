#ifndef PARLEY_BASE_FINITE_H_
#define PARLEY_BASE_FINITE_H_

#include <cstddef>
#include <cstdint>

namespace parley {

// Whether numbers are finite: neither NaN nor infinities. At memory speed and without
// floating-point exceptions: a number is finite when its bits without the sign are below those of
// infinity, so the largest of them tells it of all. Numbers may begin at any address. Pure.

// Of `count` numbers: float32, bfloat16, IEEE binary16 (base/half.h). True of none.
bool AllFinite(const float* in, size_t count);
bool AllFiniteBFloat16(const void* in, size_t count);
bool AllFiniteFloat16(const void* in, size_t count);

// Copies `count` numbers and returns whether all were finite, in one pass. All are copied either
// way. `out` may begin anywhere and overlaps nothing. Narrowing to 16 bits tells the same of what
// it writes (base/half.h).
bool CopyFinite(const float* in, size_t count, void* out);

// The index of the first that is not finite, or -1.
int64_t FindNotFinite(const float* in, size_t count);

}  // namespace parley

#endif  // PARLEY_BASE_FINITE_H_
