#ifndef PARLEY_PS_OPTIMIZERS_SGD_H_
#define PARLEY_PS_OPTIMIZERS_SGD_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

// Stochastic gradient descent (Robbins and Monro, 1951): p <- p - learning_rate * g. No slots.
std::unique_ptr<Optimizer> NewSgd();

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_SGD_H_
