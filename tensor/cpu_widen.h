#ifndef PARLEY_TENSOR_CPU_WIDEN_H_
#define PARLEY_TENSOR_CPU_WIDEN_H_

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "Eigen/Core"
#include "glog/logging.h"
#include "tensor/backend.h"

namespace parley {

// Products on the CPU compute in a work type W: double for float64 elements, float for all others.
template <typename T>
using WorkType = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <typename T>
constexpr bool kIsWorkType = std::is_same_v<T, WorkType<T>>;

// A vector of as many elements as 32 bytes of the work type hold.
inline __m256 LoadWide(const float* from) { return _mm256_loadu_ps(from); }
inline __m256d LoadWide(const double* from) { return _mm256_loadu_pd(from); }
inline __m256 LoadWide(const Eigen::half* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline __m256 LoadWide(const Eigen::bfloat16* from) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

inline void StoreWide(float* to, __m256 v) { _mm256_storeu_ps(to, v); }
inline void StoreWide(double* to, __m256d v) { _mm256_storeu_pd(to, v); }
// Rounded to nearest even.
inline void StoreWide(Eigen::half* to, __m256 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
inline void StoreWide(Eigen::bfloat16* to, __m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  // The sum would carry some NaNs to zero.
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i upper =
      _mm256_srli_epi32(_mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc00000), nan), 16);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to),
      _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1)));
}

// out[i] = in[i] in the work type.
template <typename T>
void Widen(const T* in, int64_t count, WorkType<T>* out) {
  constexpr int64_t kLanes = 32 / sizeof(WorkType<T>);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) StoreWide(out + i, LoadWide(in + i));
  for (; i < count; ++i) out[i] = static_cast<WorkType<T>>(in[i]);
}

// Rounded to nearest even; NaN stays NaN.
inline void StoreNarrow(float* to, __m256 v) { _mm256_storeu_ps(to, v); }
inline void StoreNarrow(double* to, __m256d v) { _mm256_storeu_pd(to, v); }
inline void StoreNarrow(Eigen::half* to, __m256 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void StoreNarrow(Eigen::bfloat16* to, __m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
  const __m256i sign = _mm256_and_si256(upper, _mm256_set1_epi32(0x8000));
  const __m256i nan = _mm256_or_si256(sign, _mm256_set1_epi32(0x7fc0));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i result = _mm256_blendv_epi8(rounded, nan, is_nan);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to),
      _mm_packus_epi32(_mm256_castsi256_si128(result), _mm256_extracti128_si256(result, 1)));
}

inline __m256 AddWide(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
inline __m256d AddWide(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }

// out[i] = in[i] rounded to nearest even, or that of their sum.
template <typename T>
void Narrow(const WorkType<T>* in, int64_t count, Write write, T* out) {
  constexpr int64_t kLanes = 32 / sizeof(WorkType<T>);
  int64_t i = 0;
  if (write == Write::kAdd) {
    for (; i + kLanes <= count; i += kLanes) {
      StoreNarrow(out + i, AddWide(LoadWide(out + i), LoadWide(in + i)));
    }
    for (; i < count; ++i) out[i] = static_cast<T>(static_cast<WorkType<T>>(out[i]) + in[i]);
  } else {
    for (; i + kLanes <= count; i += kLanes) StoreNarrow(out + i, LoadWide(in + i));
    for (; i < count; ++i) out[i] = static_cast<T>(in[i]);
  }
}

// Not initialised memory of `backend`; of few different sizes, so that it is used again.
template <typename W>
std::shared_ptr<W> NewScratch(Backend* backend, int64_t count) {
  size_t bytes = size_t{64} << 10;
  while (bytes < static_cast<size_t>(count) * sizeof(W)) bytes *= 2;
  return std::static_pointer_cast<W>(backend->Allocate(bytes));
}

// function(T()) for the floating element type T of `dtype`.
template <typename Function>
void WithFloatingType(DType dtype, Function function) {
  switch (dtype) {
    case DType::kFloat32:
      return function(float());
    case DType::kFloat64:
      return function(double());
    case DType::kBFloat16:
      return function(Eigen::bfloat16());
    case DType::kFloat16:
      return function(Eigen::half());
    case DType::kInt32:
    case DType::kInt64:
      break;
  }
  LOG(FATAL) << "not a floating type: " << NameOf(dtype);
}

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_WIDEN_H_
