#include "base/half.h"

#include <immintrin.h>

#include <cstring>

namespace parley {
namespace {

constexpr size_t kLanes = 8;

__m256 BFloat16Lanes(const char* in) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

__m256 Float16Lanes(const char* in) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
}

__m128i BFloat16Bits(__m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  // The sum would carry some NaNs to zero: these keep their upper half, with the quiet bit set.
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
  const __m256i result = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(result), _mm256_extracti128_si256(result, 1));
}

__m128i Float16Bits(__m256 values) {
  return _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// The last few elements go through a vector of their own, so that all are rounded alike.
template <typename Convert>
void Narrow(const float* in, size_t count, char* out, Convert convert) {
  for (; count >= kLanes; count -= kLanes, in += kLanes, out += 2 * kLanes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), convert(_mm256_loadu_ps(in)));
  }
  if (count == 0) return;
  float rest[kLanes] = {};
  std::memcpy(rest, in, count * sizeof(float));
  const __m128i bits = convert(_mm256_loadu_ps(rest));
  std::memcpy(out, &bits, 2 * count);
}

template <typename Load>
void Widen(const char* in, size_t count, float* out, Load load) {
  for (; count >= kLanes; count -= kLanes, in += 2 * kLanes, out += kLanes) {
    _mm256_storeu_ps(out, load(in));
  }
  if (count == 0) return;
  char rest[2 * kLanes] = {};
  float wide[kLanes];
  std::memcpy(rest, in, 2 * count);
  _mm256_storeu_ps(wide, load(rest));
  std::memcpy(out, wide, count * sizeof(float));
}

}  // namespace

void ToBFloat16(const float* in, size_t count, void* out) {
  Narrow(in, count, static_cast<char*>(out), BFloat16Bits);
}
void FromBFloat16(const void* in, size_t count, float* out) {
  Widen(static_cast<const char*>(in), count, out, BFloat16Lanes);
}
void ToFloat16(const float* in, size_t count, void* out) {
  Narrow(in, count, static_cast<char*>(out), Float16Bits);
}
void FromFloat16(const void* in, size_t count, float* out) {
  Widen(static_cast<const char*>(in), count, out, Float16Lanes);
}

}  // namespace parley
