#ifndef PARLEY_PS_OPTIMIZERS_LION_H_
#define PARLEY_PS_OPTIMIZERS_LION_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct LionConfig {
  float beta1 = 0.9f;   // in [0, 1)
  float beta2 = 0.99f;  // in [0, 1)
};

// Lion (Chen et al., NeurIPS 2023, algorithm 2); one slot, m.
//   p <- p - learning_rate * sign(beta1 * m + (1 - beta1) * g)      sign(0) = 0
//   m <- beta2 * m + (1 - beta2) * g
// The paper's weight decay is the decoupled one, around it.
std::unique_ptr<Optimizer> NewLion(const LionConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_LION_H_
