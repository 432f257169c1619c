#ifndef PARLEY_BASE_HALF_LANES_H_
#define PARLEY_BASE_HALF_LANES_H_

#include <immintrin.h>

namespace parley {

// Eight numbers of 16 bits (base/half.h), from any address, as a vector of float32: for loops that
// widen what they read. Pure.

inline __m256 BFloat16Lanes(const void* in) {
  const __m128i bits = _mm_loadu_si128(static_cast<const __m128i*>(in));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

inline __m256 Float16Lanes(const void* in) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(in)));
}

}  // namespace parley

#endif  // PARLEY_BASE_HALF_LANES_H_
