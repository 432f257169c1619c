#ifndef PARLEY_PS_OPTIMIZERS_FTRL_H_
#define PARLEY_PS_OPTIMIZERS_FTRL_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct FtrlConfig {
  float beta = 1;  // > 0
  float l1 = 0;    // >= 0
  float l2 = 0;    // >= 0
};

// FTRL-Proximal with per-coordinate rates (McMahan et al., KDD 2013, algorithm 1); two slots, z and
// n. The paper's alpha is the learning rate, which must be > 0 and the same in every round.
//   s = g * g / (sqrt(n + g * g) + sqrt(n)) / alpha
//   z <- z + g - s * p
//   n <- n + g * g
//   p <- 0 where |z| <= l1, else (sign(z) * l1 - z) / ((beta + sqrt(n)) / alpha + l2)
// where s is the paper's (sqrt(n + g * g) - sqrt(n)) / alpha, without its cancellation.
// The paper begins with p = 0. Here an element keeps its first value until it has a gradient, and
// then begins with the z that gives this value: -p * (beta / alpha + l2) - sign(p) * l1.
std::unique_ptr<Optimizer> NewFtrl(const FtrlConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_FTRL_H_
