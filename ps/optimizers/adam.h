#ifndef PARLEY_PS_OPTIMIZERS_ADAM_H_
#define PARLEY_PS_OPTIMIZERS_ADAM_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct AdamConfig {
  float beta1 = 0.9f;    // in [0, 1)
  float beta2 = 0.999f;  // in [0, 1)
  float epsilon = 1e-8f;
  bool amsgrad = false;
};

// Adam (Kingma and Ba, ICLR 2015, algorithm 1), as torch.optim.Adam computes it; two slots, m and
// v.
//   m <- beta1 * m + (1 - beta1) * g
//   v <- beta2 * v + (1 - beta2) * g * g
//   p <- p - learning_rate / (1 - beta1^t) * (m / (sqrt(v) * (1 / sqrt(1 - beta2^t)) + epsilon))
// with t the round. With amsgrad (Reddi, Kale and Kumar, ICLR 2018), a third slot, largest_v, and
//   largest_v <- max(largest_v, v)
// in the place of v in the last line.
std::unique_ptr<Optimizer> NewAdam(const AdamConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_ADAM_H_
