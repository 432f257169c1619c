#ifndef PARLEY_BASE_PHILOX_H_
#define PARLEY_BASE_PHILOX_H_

#include <array>
#include <cstdint>

namespace parley {

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011): a random number as a pure function of (key, counter). Any element of a random tensor can
// be made alone, on any shard, in any order, and is the same.
//
// Thread safety: pure functions; safe from any thread.

// The four 32-bit words at `counter` of the stream named by `key`.
std::array<uint32_t, 4> Philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);

// A 64-bit random number at place `index` of stream `stream` under `key`.
uint64_t PhiloxUint64(uint64_t key, uint64_t stream, uint64_t index);

// Uniform in [0, 1) with 24 random bits, so every value is exact in float32.
float PhiloxUniform(uint64_t key, uint64_t stream, uint64_t index);

// Standard normal, by the Box-Muller transform in double precision (Box and Muller, 1958).
float PhiloxNormal(uint64_t key, uint64_t stream, uint64_t index);

// Uniform in [0, bound), unbiased to 2^-64; `bound` > 0.
uint64_t PhiloxBelow(uint64_t key, uint64_t stream, uint64_t index, uint64_t bound);

}  // namespace parley

#endif  // PARLEY_BASE_PHILOX_H_
