#ifndef PARLEY_PS_OPTIMIZERS_ADAMAX_H_
#define PARLEY_PS_OPTIMIZERS_ADAMAX_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct AdamaxConfig {
  float beta1 = 0.9f;    // in [0, 1)
  float beta2 = 0.999f;  // in [0, 1)
  float epsilon = 1e-8f;
};

// Adamax (Kingma and Ba, ICLR 2015, algorithm 2), as torch.optim.Adamax computes it; two slots, m
// and u.
//   m <- beta1 * m + (1 - beta1) * g
//   u <- max(beta2 * u, |g| + epsilon)
//   p <- p - learning_rate / (1 - beta1^t) * (m / u)            with t the round
std::unique_ptr<Optimizer> NewAdamax(const AdamaxConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_ADAMAX_H_
