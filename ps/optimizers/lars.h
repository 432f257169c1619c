#ifndef PARLEY_PS_OPTIMIZERS_LARS_H_
#define PARLEY_PS_OPTIMIZERS_LARS_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct LarsConfig {
  float momentum = 0;         // in [0, 1)
  float weight_decay = 0;     // >= 0
  float coefficient = 1e-3f;  // > 0, the paper's eta
};

// LARS (You, Gitman and Ginsburg, 2017, algorithm 1); one slot, v. In two halves, of which Prepare
// only keeps the gradient; Update, with norms |p| and |g| over the whole parameter, is
//   rate = learning_rate * coefficient * |p| / (|g| + weight_decay * |p|)
//   v <- momentum * v + rate * (g + weight_decay * p)
//   p <- p - v
// where the rate is learning_rate if |p| or |g| is 0.
std::unique_ptr<Optimizer> NewLars(const LarsConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_LARS_H_
