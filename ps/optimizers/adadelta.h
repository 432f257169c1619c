#ifndef PARLEY_PS_OPTIMIZERS_ADADELTA_H_
#define PARLEY_PS_OPTIMIZERS_ADADELTA_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct AdadeltaConfig {
  float rho = 0.9f;  // in [0, 1)
  float epsilon = 1e-6f;
};

// Adadelta (Zeiler, 2012, arXiv 1212.5701, algorithm 1), as torch.optim.Adadelta computes it; two
// slots, v and u.
//   v <- rho * v + (1 - rho) * g * g
//   d = sqrt(u + epsilon) / sqrt(v + epsilon) * g
//   u <- rho * u + (1 - rho) * d * d
//   p <- p - learning_rate * d
std::unique_ptr<Optimizer> NewAdadelta(const AdadeltaConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_ADADELTA_H_
