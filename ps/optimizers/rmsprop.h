#ifndef PARLEY_PS_OPTIMIZERS_RMSPROP_H_
#define PARLEY_PS_OPTIMIZERS_RMSPROP_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

struct RmspropConfig {
  float alpha = 0.99f;  // in [0, 1)
  float epsilon = 1e-8f;
  float momentum = 0;  // in [0, 1)
  bool centered = false;
};

// RMSprop (Tieleman and Hinton, 2012, lecture 6.5 of "Neural networks for machine learning";
// centered as in Graves, 2013, arXiv 1308.0850, equations 38 to 45), as torch.optim.RMSprop
// computes it; the slots v, then mean when centered, then velocity when momentum > 0.
//   v <- alpha * v + (1 - alpha) * g * g
//   mean <- alpha * mean + (1 - alpha) * g                      when centered
//   d = g / (sqrt(v) + epsilon), or, when centered,
//   d = g / (sqrt(max(v - mean * mean, 0)) + epsilon)           rounding can make it negative
//   velocity <- momentum * velocity + d                         when momentum > 0
//   p <- p - learning_rate * d, or learning_rate * velocity
std::unique_ptr<Optimizer> NewRmsprop(const RmspropConfig& config);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_RMSPROP_H_
