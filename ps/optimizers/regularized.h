#ifndef PARLEY_PS_OPTIMIZERS_REGULARIZED_H_
#define PARLEY_PS_OPTIMIZERS_REGULARIZED_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct RegularizedConfig {
  float clip_value = 0;    // 0: none
  float l1 = 0;            // >= 0
  float l2 = 0;            // >= 0
  float weight_decay = 0;  // >= 0
};

// `inner` with another gradient and a smaller parameter; no slots of its own.
//   g <- min(max(g, -clip_value), clip_value)         unless clip_value is 0
//   g <- (g + l2 * p) + l1 * sign(p)                  penalties; unless both are 0
//   p <- p * (1 - learning_rate * weight_decay)       decoupled (Loshchilov and Hutter, ICLR 2019)
//   `inner` updates p with g
std::unique_ptr<Optimizer> NewRegularized(const RegularizedConfig& config,
                                          std::unique_ptr<Optimizer> inner);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_REGULARIZED_H_
