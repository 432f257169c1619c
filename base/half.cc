#include "base/half.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/half_lanes.h"

namespace parley {
namespace {

constexpr size_t kLanes = 8;  // of float32 in a vector

// Each rounded, in the lower half of its lane.
__m256i RoundToBFloat16(__m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
  // The sum would carry some NaNs to zero: these keep their upper half, with the quiet bit set.
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256 nan = _mm256_cmp_ps(values, values, _CMP_UNORD_Q);
  return _mm256_srli_epi32(_mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(rounded),
                                                                _mm256_castsi256_ps(quiet), nan)),
                           16);
}

__m256i BFloat16Bits(__m256 first, __m256 second) {
  // The packing goes by halves of vectors.
  return _mm256_permute4x64_epi64(
      _mm256_packus_epi32(RoundToBFloat16(first), RoundToBFloat16(second)), 0xd8);
}

__m256i Float16Bits(__m256 first, __m256 second) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return _mm256_set_m128i(_mm256_cvtps_ph(second, kNearest), _mm256_cvtps_ph(first, kNearest));
}

// Whether all that was written is below `infinity`, as magnitudes (base/finite.h). The last few
// elements go through vectors of their own, so that all are rounded alike.
template <__m256i (*convert)(__m256, __m256)>
bool Narrow(const float* in, size_t count, char* out, uint16_t infinity) {
  constexpr size_t kStep = 2 * kLanes;
  __m256i largest = _mm256_setzero_si256();
  const auto next = [&](const float* from) {
    const __m256i bits = convert(_mm256_loadu_ps(from), _mm256_loadu_ps(from + kLanes));
    largest = _mm256_max_epu16(largest, _mm256_and_si256(bits, _mm256_set1_epi16(0x7fff)));
    return bits;
  };
  for (; count >= kStep; count -= kStep, in += kStep, out += 2 * kStep) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), next(in));
  }
  if (count > 0) {
    float rest[kStep] = {};
    std::memcpy(rest, in, count * sizeof(float));
    const __m256i bits = next(rest);
    std::memcpy(out, &bits, 2 * count);
  }
  uint16_t magnitudes[kStep];
  std::memcpy(magnitudes, &largest, sizeof(magnitudes));
  return *std::max_element(std::begin(magnitudes), std::end(magnitudes)) < infinity;
}

template <__m256 (*load)(const void*)>
void Widen(const char* in, size_t count, float* out) {
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

bool ToBFloat16(const float* in, size_t count, void* out) {
  return Narrow<BFloat16Bits>(in, count, static_cast<char*>(out), 0x7f80);
}
void FromBFloat16(const void* in, size_t count, float* out) {
  Widen<BFloat16Lanes>(static_cast<const char*>(in), count, out);
}
bool ToFloat16(const float* in, size_t count, void* out) {
  return Narrow<Float16Bits>(in, count, static_cast<char*>(out), 0x7c00);
}
void FromFloat16(const void* in, size_t count, float* out) {
  Widen<Float16Lanes>(static_cast<const char*>(in), count, out);
}

}  // namespace parley
