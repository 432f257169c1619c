#ifndef PARLEY_PS_OPTIMIZER_H_
#define PARLEY_PS_OPTIMIZER_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/job.pb.h"

namespace parley {

// What an update depends on besides the elements themselves: the same for every element of a
// block's round. A thing that only some optimizers read (a norm of the parameter, a scheduled
// learning rate) is a field here.
struct UpdateContext {
  int64_t round = 1;  // which update of the block this is, from 1
};

// An Optimizer is a pure function over (parameter, slots, gradient, round). It works element by
// element, so a block may be handed over in tiles of any size and the bits are the same; float32
// arithmetic, each operation rounded (no fused multiply-add), in the order that the optimizer's
// header states. Thread safety: stateless; safe from any thread.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // How many float32 values it keeps beside each element. They start as zeros.
  virtual int num_slots() const = 0;

  // Reads `gradient` and `values`, writes `new_values`, and updates the num_slots() arrays `slots`
  // in place; each has gradient.size() float32 elements. None of these overlap.
  virtual void Update(const UpdateContext& context, absl::Span<const float> gradient,
                      absl::Span<const float> values, absl::Span<float> new_values,
                      absl::Span<float* const> slots) const = 0;
};

// INVALID_ARGUMENT when `spec` names no optimizer that this version knows. The numbers in it are
// taken as they are: Job::Create refuses those out of range.
absl::StatusOr<std::unique_ptr<Optimizer>> NewOptimizer(const v1::Optimizer& spec);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZER_H_
