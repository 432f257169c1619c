#ifndef PARLEY_PS_REDUCE_UPDATE_H_
#define PARLEY_PS_REDUCE_UPDATE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "ps/gradient.h"
#include "ps/optimizer.h"

namespace parley {

// Reduces the contributions to their mean and applies it, in one pass over memory, in tiles that
// stay in the first-level cache:
//   g = ((c[0] + c[1]) + c[2] + ...) * (1.0f / divisor)     float32, each operation rounded, in the
//   given order new_values, slots = optimizer(context, g, values, slots)
// The bits depend on the values and their order alone: not on how a contribution is sliced or
// aligned.
//
// values.size() elements are updated; each contribution has as many, in slices of any size and
// alignment; 16-bit ones are widened first. At least one contribution; divisor >= 1.
// `new_values` and `slots` (optimizer.num_slots() arrays) have values.size() elements, are written,
// and overlap nothing. Pure otherwise; safe from any thread.
void ReduceAndUpdate(const Optimizer& optimizer, const UpdateContext& context,
                     absl::Span<const Gradient> contributions, int divisor,
                     absl::Span<const float> values, absl::Span<float> new_values,
                     absl::Span<float* const> slots);

}  // namespace parley

#endif  // PARLEY_PS_REDUCE_UPDATE_H_
