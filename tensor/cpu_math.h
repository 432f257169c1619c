#ifndef PARLEY_TENSOR_CPU_MATH_H_
#define PARLEY_TENSOR_CPU_MATH_H_

#include <immintrin.h>

#include <cmath>

#include "Eigen/Core"
#include "tensor/cpu_lanes.h"
#include "unsupported/Eigen/SpecialFunctions"

namespace parley {

// Functions of each lane: of floats in vector instructions, within 1e-6 of the value relative to it
// (erf: absolute); of doubles the C library's. Infinities and NaN give what the C library gives.

template <typename Function>
__m256d EachLane(__m256d v, Function function) {
  double lanes[4];
  _mm256_storeu_pd(lanes, v);
  for (double& lane : lanes) lane = function(lane);
  return _mm256_loadu_pd(lanes);
}

// Cephes' expf (Moshier, 1989): 2^n exp(r) with |r| <= log(2) / 2, the polynomial's error under
// 1e-8. Eigen's own never becomes 0 or infinite.
inline __m256 Exp(__m256 x) {
  // The second operand is the result if either is NaN.
  x = _mm256_min_ps(_mm256_set1_ps(89.0f), x);
  x = _mm256_max_ps(_mm256_set1_ps(-104.0f), x);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.9875691500e-4f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
  p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
  // 2^n in two factors, for n from -150 to 128 is beyond one float's exponent.
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const auto power = [](__m256i exponent) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
  };
  return _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)));
}
inline __m256d Exp(__m256d x) {
  return EachLane(x, [](double v) { return std::exp(v); });
}

inline __m256 Log(__m256 x) { return Eigen::internal::plog<__m256>(x); }
inline __m256d Log(__m256d x) {
  return EachLane(x, [](double v) { return std::log(v); });
}

// log(1 + x)
inline __m256 Log1p(__m256 x) { return Eigen::internal::generic_plog1p<__m256>(x); }
inline __m256d Log1p(__m256d x) {
  return EachLane(x, [](double v) { return std::log1p(v); });
}

inline __m256 Tanh(__m256 x) { return Eigen::internal::ptanh<__m256>(x); }
inline __m256d Tanh(__m256d x) {
  return EachLane(x, [](double v) { return std::tanh(v); });
}

inline __m256 Erf(__m256 x) { return Eigen::internal::generic_fast_erf_float<__m256>(x); }
inline __m256d Erf(__m256d x) {
  return EachLane(x, [](double v) { return std::erf(v); });
}

inline __m256 Sqrt(__m256 x) { return _mm256_sqrt_ps(x); }
inline __m256d Sqrt(__m256d x) { return _mm256_sqrt_pd(x); }

inline __m256 Abs(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
inline __m256d Abs(__m256d x) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x); }

// 1 / (1 + exp(-x))
template <typename V>
V Sigmoid(V x) {
  return 1 / (1 + Exp(-x));
}

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_MATH_H_
