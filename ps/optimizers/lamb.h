#ifndef PARLEY_PS_OPTIMIZERS_LAMB_H_
#define PARLEY_PS_OPTIMIZERS_LAMB_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct LambConfig {
  float beta1 = 0.9f;      // in [0, 1)
  float beta2 = 0.999f;    // in [0, 1)
  float epsilon = 1e-6f;   // > 0
  float weight_decay = 0;  // >= 0
};

// LAMB (You et al., ICLR 2020, algorithm 2, phi the identity); two slots, m and v. In two halves:
// Prepare
//   m <- beta1 * m + (1 - beta1) * g
//   v <- beta2 * v + (1 - beta2) * g * g
//   r = (m / (1 - beta1^t)) / (sqrt(v) * (1 / sqrt(1 - beta2^t)) + epsilon) + weight_decay * p
// Update, with norms |p| and |r| over the whole parameter
//   p <- p - (learning_rate * |p| / |r|) * r
// with t the round; where |p| or |r| is 0, their quotient is taken as 1.
std::unique_ptr<Optimizer> NewLamb(const LambConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_LAMB_H_
