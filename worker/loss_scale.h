#ifndef PARLEY_WORKER_LOSS_SCALE_H_
#define PARLEY_WORKER_LOSS_SCALE_H_

#include <algorithm>

namespace parley {

// A LossScale keeps float16 gradients from vanishing: the loss is multiplied by value() before the
// backward pass and the gradients divided by it after; it halves when a gradient overflowed and
// doubles after kGrowthInterval steps without (dynamic loss scaling; Micikevicius et al., 2018,
// section 3.2). A power of two, so that it rounds nothing. In a synchronous job all workers' are
// the same, for all hear of the same skipped steps (TrainingTask::StepEnded). It is not in a
// checkpoint: a resumed job begins with the first value.
//
// Thread safety: none.
class LossScale {
 public:
  static constexpr double kFirst = 65536;
  static constexpr double kSmallest = 1;
  static constexpr double kLargest = 16777216;  // 2^24
  static constexpr int kGrowthInterval = 2000;

  double value() const { return value_; }

  // After each step; `skipped`: it changed nothing, because a gradient overflowed.
  void StepEnded(bool skipped) {
    if (skipped) {
      value_ = std::max(kSmallest, value_ / 2);
      good_steps_ = 0;
    } else if (++good_steps_ == kGrowthInterval) {
      value_ = std::min(kLargest, value_ * 2);
      good_steps_ = 0;
    }
  }

 private:
  double value_ = kFirst;
  int good_steps_ = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_LOSS_SCALE_H_
