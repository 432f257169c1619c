#ifndef PARLEY_PS_REDUCE_UPDATE_H_
#define PARLEY_PS_REDUCE_UPDATE_H_

#include "absl/types/span.h"
#include "proto/job.pb.h"
#include "ps/gradient.h"
#include "ps/optimizer.h"

namespace parley {

// Where the new values are also written as elements of 16 bits, for pulls that ask for them
// (net/wire_dtype.h). A value.
struct NarrowCopy {
  v1::DType dtype = v1::DTYPE_UNSPECIFIED;  // none
  void* out = nullptr;
};

// Reduces the contributions to their mean and applies it, in one pass over memory, in tiles that
// stay in the first-level cache:
//   g = ((c[0] + c[1]) + c[2] + ...) * (1.0f / divisor)     float32, each operation rounded, in the
//   given order
//   new_values, slots = optimizer(context, g, values, slots)
//   copy = new_values rounded to 16 bits, if asked for
//   mean = g, if asked for
// With `compensation` > 0, of a single contribution that has its base, and before the optimizer:
//   g = g + ((compensation * g) * g) * (values - base)
// The bits depend on the values and their order alone: not on how a contribution is sliced or
// aligned.
//
// values.size() elements are updated; each contribution has as many, in slices of any size and
// alignment; 16-bit ones are widened first. At least one contribution; divisor >= 1.
// `new_values`, `copy`, `mean` and `slots` (optimizer.num_slots() arrays) have values.size()
// elements, are written, and overlap nothing. Pure otherwise; safe from any thread.
void ReduceAndUpdate(const Optimizer& optimizer, const UpdateContext& context,
                     absl::Span<const Gradient> contributions, int divisor,
                     absl::Span<const float> values, absl::Span<float> new_values,
                     absl::Span<float* const> slots, NarrowCopy copy = {}, float compensation = 0,
                     float* mean = nullptr);

}  // namespace parley

#endif  // PARLEY_PS_REDUCE_UPDATE_H_
