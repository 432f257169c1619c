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

// out[i] = in[i] in the work type.
template <typename T>
void Widen(const T* in, int64_t count, WorkType<T>* out) {
  constexpr int64_t kLanes = 32 / sizeof(WorkType<T>);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) StoreWide(out + i, LoadWide(in + i));
  for (; i < count; ++i) out[i] = static_cast<WorkType<T>>(in[i]);
}

// out[i] = in[i] rounded to nearest even, or that of their sum.
template <typename T>
void Narrow(const WorkType<T>* in, int64_t count, Write write, T* out) {
  if (write == Write::kAdd) {
    for (int64_t i = 0; i < count; ++i) {
      out[i] = static_cast<T>(static_cast<WorkType<T>>(out[i]) + in[i]);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(in[i]);
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
