#include "ps/optimizers/adam_loop.h"

#include <cmath>

namespace parley {
namespace {

// Functions of their own, since of so many arrays a compiler believes only of parameters that they
// are apart; inlined into each that is compiled for other vectors.
__attribute__((always_inline)) inline void Plain(const AdamCoefficients& c, size_t size,
                                                 const float* __restrict g,
                                                 const float* __restrict p, float* __restrict out,
                                                 float* __restrict m, float* __restrict v) {
  for (size_t i = 0; i < size; ++i) {
    const float mean = c.beta1 * m[i] + c.rest1 * g[i];
    const float square = c.beta2 * v[i] + c.rest2 * (g[i] * g[i]);
    m[i] = mean;
    v[i] = square;
    out[i] = p[i] - c.step_size * (mean / (std::sqrt(square) * c.scale + c.epsilon));
  }
}

__attribute__((always_inline)) inline void Amsgrad(const AdamCoefficients& c, size_t size,
                                                   const float* __restrict g,
                                                   const float* __restrict p, float* __restrict out,
                                                   float* __restrict m, float* __restrict v,
                                                   float* __restrict largest_v) {
  for (size_t i = 0; i < size; ++i) {
    const float mean = c.beta1 * m[i] + c.rest1 * g[i];
    const float square = c.beta2 * v[i] + c.rest2 * (g[i] * g[i]);
    const float before = largest_v[i];
    const float largest = before > square ? before : square;
    m[i] = mean;
    v[i] = square;
    largest_v[i] = largest;
    out[i] = p[i] - c.step_size * (mean / (std::sqrt(largest) * c.scale + c.epsilon));
  }
}

__attribute__((always_inline)) inline void Either(const AdamCoefficients& shared,
                                                  const AdamArrays& a, size_t size) {
  const AdamCoefficients c = shared;
  if (a.largest_v == nullptr) {
    Plain(c, size, a.gradient, a.values, a.new_values, a.m, a.v);
  } else {
    Amsgrad(c, size, a.gradient, a.values, a.new_values, a.m, a.v, a.largest_v);
  }
}

// Of kCount gradients; in the place of others any may stand.
template <int kCount>
__attribute__((always_inline)) inline void Summed(
    const AdamCoefficients& shared, size_t size, float factor, const float* __restrict g0,
    const float* __restrict g1, const float* __restrict g2, const float* __restrict g3,
    const float* __restrict g4, const float* __restrict g5, const float* __restrict g6,
    const float* __restrict g7, const float* __restrict p, float* __restrict out,
    float* __restrict m, float* __restrict v) {
  const AdamCoefficients c = shared;
  for (size_t i = 0; i < size; ++i) {
    float sum = g0[i] + g1[i];
    if (kCount > 2) sum = sum + g2[i];
    if (kCount > 3) sum = sum + g3[i];
    if (kCount > 4) sum = sum + g4[i];
    if (kCount > 5) sum = sum + g5[i];
    if (kCount > 6) sum = sum + g6[i];
    if (kCount > 7) sum = sum + g7[i];
    const float g = sum * factor;
    const float mean = c.beta1 * m[i] + c.rest1 * g;
    const float square = c.beta2 * v[i] + c.rest2 * (g * g);
    m[i] = mean;
    v[i] = square;
    out[i] = p[i] - c.step_size * (mean / (std::sqrt(square) * c.scale + c.epsilon));
  }
}

template <int kCount>
__attribute__((always_inline)) inline void SummedOf(const AdamCoefficients& c, const AdamArrays& a,
                                                    absl::Span<const float* const> g, float factor,
                                                    size_t size) {
  const auto at = [&](size_t i) { return g[i < kCount ? i : 0]; };
  Summed<kCount>(c, size, factor, at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), a.values,
                 a.new_values, a.m, a.v);
}

__attribute__((always_inline)) inline void AnySummed(const AdamCoefficients& c, const AdamArrays& a,
                                                     absl::Span<const float* const> g, float factor,
                                                     size_t size) {
  switch (g.size()) {
    case 2:
      return SummedOf<2>(c, a, g, factor, size);
    case 3:
      return SummedOf<3>(c, a, g, factor, size);
    case 4:
      return SummedOf<4>(c, a, g, factor, size);
    case 5:
      return SummedOf<5>(c, a, g, factor, size);
    case 6:
      return SummedOf<6>(c, a, g, factor, size);
    case 7:
      return SummedOf<7>(c, a, g, factor, size);
    default:
      return SummedOf<8>(c, a, g, factor, size);
  }
}

void ReduceAvx2(const AdamCoefficients& coefficients, const AdamArrays& arrays,
                absl::Span<const float* const> gradients, float factor, size_t size) {
  AnySummed(coefficients, arrays, gradients, factor, size);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void
ReduceAvx512(const AdamCoefficients& coefficients, const AdamArrays& arrays,
             absl::Span<const float* const> gradients, float factor, size_t size) {
  AnySummed(coefficients, arrays, gradients, factor, size);
}

void UpdateAvx2(const AdamCoefficients& coefficients, const AdamArrays& arrays, size_t size) {
  Either(coefficients, arrays, size);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void
UpdateAvx512(const AdamCoefficients& coefficients, const AdamArrays& arrays, size_t size) {
  Either(coefficients, arrays, size);
}

}  // namespace

std::vector<AdamLoop> AdamLoops() {
  std::vector<AdamLoop> loops = {{"avx2", UpdateAvx2, ReduceAvx2}};
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    loops.push_back({"avx512", UpdateAvx512, ReduceAvx512});
  }
  return loops;
}

}  // namespace parley
