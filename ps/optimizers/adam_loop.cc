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

void UpdateAvx2(const AdamCoefficients& coefficients, const AdamArrays& arrays, size_t size) {
  Either(coefficients, arrays, size);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void
UpdateAvx512(const AdamCoefficients& coefficients, const AdamArrays& arrays, size_t size) {
  Either(coefficients, arrays, size);
}

}  // namespace

std::vector<AdamLoop> AdamLoops() {
  std::vector<AdamLoop> loops = {{"avx2", UpdateAvx2}};
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    loops.push_back({"avx512", UpdateAvx512});
  }
  return loops;
}

}  // namespace parley
