#ifndef PARLEY_PS_OPTIMIZERS_ADAGRAD_H_
#define PARLEY_PS_OPTIMIZERS_ADAGRAD_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct AdagradConfig {
  float initial_accumulator = 0;  // >= 0
  float rate_decay = 0;           // >= 0
  float epsilon = 1e-10f;
};

// Adagrad (Duchi, Hazan and Singer, JMLR 2011), as torch.optim.Adagrad computes it; one slot, n.
//   n <- n + g * g
//   p <- p - learning_rate / (1 + (t - 1) * rate_decay) * (g / (sqrt(initial_accumulator + n) +
//        epsilon))
// with t the round.
std::unique_ptr<Optimizer> NewAdagrad(const AdagradConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_ADAGRAD_H_
