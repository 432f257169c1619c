#ifndef PARLEY_PS_OPTIMIZERS_ADAM_LOOP_H_
#define PARLEY_PS_OPTIMIZERS_ADAM_LOOP_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"

namespace parley {

// Adam's inner loop (ps/optimizers/adam.h has the formulas), compiled for more than one width of
// vectors: with a root and a division for each element, a processor that has vectors of 512 bits
// keeps more of memory's latency hidden with them (bench/RESULTS.md). All give the same bits, as
// each operation is rounded and none is fused.

// What is the same for all elements.
struct AdamCoefficients {
  float beta1, beta2;
  float rest1, rest2;  // 1 - beta
  float step_size;     // the learning rate over 1 - beta1^round
  float scale;         // 1 / sqrt(1 - beta2^round)
  float epsilon;
};

// The arrays of an Update: `size` elements each, of which none overlap.
struct AdamArrays {
  const float* gradient;
  const float* values;
  float* new_values;
  float* m;
  float* v;
  float* largest_v;  // null without amsgrad
};

struct AdamLoop {
  const char* name;  // of the vectors: "avx2"
  void (*update)(const AdamCoefficients& coefficients, const AdamArrays& arrays, size_t size);
  // The same without amsgrad, of a gradient that is the sum of two to eight arrays, in their order,
  // times `factor`; arrays.gradient does not count. All arrays are read side by side, which keeps
  // memory busier than sums first and updates then.
  void (*reduce)(const AdamCoefficients& coefficients, const AdamArrays& arrays,
                 absl::Span<const float* const> gradients, float factor, size_t size);
};

// Those that this processor can run, the fastest last. Pure; safe from any thread.
std::vector<AdamLoop> AdamLoops();

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_ADAM_LOOP_H_
