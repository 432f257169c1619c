#ifndef PARLEY_PS_OPTIMIZERS_MOMENTUM_H_
#define PARLEY_PS_OPTIMIZERS_MOMENTUM_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct MomentumConfig {
  float momentum = 0.9f;  // in [0, 1)
  bool nesterov = false;
};

// Gradient descent with momentum (Polyak, 1964), as torch.optim.SGD computes it without dampening;
// one slot, v.
//   v <- momentum * v + g
//   p <- p - learning_rate * v                    or, with nesterov (Sutskever et al., ICML 2013),
//   p <- p - learning_rate * (g + momentum * v)   with v already updated
std::unique_ptr<Optimizer> NewMomentum(const MomentumConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_MOMENTUM_H_
