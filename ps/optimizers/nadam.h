#ifndef PARLEY_PS_OPTIMIZERS_NADAM_H_
#define PARLEY_PS_OPTIMIZERS_NADAM_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct NadamConfig {
  float beta1 = 0.9f;    // in [0, 0.999]: its memory grows with 1 / (1 - beta1)
  float beta2 = 0.999f;  // in [0, 1)
  float epsilon = 1e-8f;
  float momentum_decay = 0.004f;
};

// NAdam (Dozat, ICLR workshop 2016), as torch.optim.NAdam computes it; two slots, m and v.
//   b(t) = beta1 * (1 - 0.96^(t * momentum_decay) / 2),   B(t) = b(1) * b(2) * ... * b(t)
//   m <- beta1 * m + (1 - beta1) * g
//   v <- beta2 * v + (1 - beta2) * g * g
//   p <- p - (learning_rate * (1 - b(t)) / (1 - B(t)) * g + learning_rate * b(t + 1) / (1 - B(t +
//   1))
//        * m) / (sqrt(v) * (1 / sqrt(1 - beta2^t)) + epsilon)    with t the round
std::unique_ptr<Optimizer> NewNadam(const NadamConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_NADAM_H_
