#ifndef PARLEY_PS_OPTIMIZER_H_
#define PARLEY_PS_OPTIMIZER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/job.pb.h"
#include "ps/gradient_tiles.h"
#include "ps/optimizer_registry.h"

namespace parley {

// What an update depends on besides the elements themselves: the same for every element of a
// block's round.
struct UpdateContext {
  // From 1. To what NewOptimizer makes: which round of the block this is. An optimizer inside
  // another one (see ps/optimizers/accumulated.h) sees the number of the update.
  int64_t round = 1;
  // Set by what NewOptimizer makes, from the declared rate, its schedule and these below; what its
  // caller gives does not count.
  float learning_rate = 0;
  // The declared rate is multiplied by it, as by its schedule.
  double rate_scale = 1;
  // What the chief pushed last, for a schedule that is `pushed`.
  float rate_factor = 1;
  // In the second half of a round that has two (see Prepare): what NormPlan::NormsOf
  // says (net/norm_plan.h). Otherwise empty.
  absl::Span<const double> norms = {};
  // The new values are not read again while they would be in a cache: who only writes them may
  // write around the caches, which spares memory a read. The bits are the same.
  bool around_caches = false;
};

// The slot in which the moving average stands that Optimizer.ema_decay asks for.
constexpr absl::string_view kAverageSlot = "average";

// An Optimizer is a pure function over (parameter, slots, gradient, context). It works element by
// element, so a block may be handed over in tiles of any size and the bits are the same; float32
// arithmetic, each operation rounded (no fused multiply-add), in the order that the optimizer's
// header states. What depends on the context alone is computed in float64, with operations that
// give the same bits on every machine, and rounded once to float32. Thread safety: stateless; safe
// from any thread.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // The float32 arrays that it keeps beside each element, by name. They start as zeros, unless
  // BeginSlots says otherwise. Optimizers
  // of one kind and equal names understand each other's slots.
  virtual std::vector<absl::string_view> slot_names() const = 0;
  int num_slots() const { return static_cast<int>(slot_names().size()); }

  // Writes what the slots are before the first round, where that is not zero, as it is now.
  // `values` are the parameter's first ones.
  virtual void BeginSlots(absl::Span<const float> /*values*/,
                          absl::Span<float* const> /*slots*/) const {}

  // Of an optimizer that needs norms over whole parameters, the first half of a round: reads
  // `gradient` and `values`, updates slots, and writes to `prepared` what Update gets in the place
  // of the gradient. The norms of the second half (UpdateContext::norms) are those of values and of
  // what was prepared, or of the latter alone (net/norm_sums.h). Others have one half only, Update.
  virtual void Prepare(const UpdateContext& /*context*/, absl::Span<const float> /*gradient*/,
                       absl::Span<const float> /*values*/, absl::Span<float> /*prepared*/,
                       absl::Span<float* const> /*slots*/) const {}

  // Reads `gradient` and `values`, writes `new_values`, and updates the num_slots() arrays `slots`
  // in place; each has gradient.size() float32 elements. None of these overlap.
  virtual void Update(const UpdateContext& context, absl::Span<const float> gradient,
                      absl::Span<const float> values, absl::Span<float> new_values,
                      absl::Span<float* const> slots) const = 0;

  // Update for each of `tiles`, up to the end, of which all have values.size() elements together.
  // To be overridden where what depends on the context alone takes longer than a few additions:
  // there it is computed once. The bits are those of Update.
  virtual void UpdateTiles(const UpdateContext& context, GradientTiles& tiles,
                           absl::Span<const float> values, absl::Span<float> new_values,
                           absl::Span<float* const> slots) const;
};

// The optimizer that `spec` declares, with its options around it. INVALID_ARGUMENT when `spec`
// names no kind that this version knows, or one of its own that is not in `registry`. The numbers
// in it are taken as they are: CheckOptimizer refuses those out of range.
absl::StatusOr<std::unique_ptr<Optimizer>> NewOptimizer(const v1::Optimizer& spec,
                                                        const OptimizerRegistry& registry = {});

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZER_H_
