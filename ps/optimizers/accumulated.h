#ifndef PARLEY_PS_OPTIMIZERS_ACCUMULATED_H_
#define PARLEY_PS_OPTIMIZERS_ACCUMULATED_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

// `inner` applied in every `rounds`-th round to the mean of as many gradients; it sees round /
// `rounds` as its round. In between, values and the slots of `inner` stay. rounds >= 2. The slots
// of `inner`, and one more, sum.
//   sum <- sum + g
//   every rounds-th round: g = sum * (1 / rounds), then `inner`, then sum <- 0
std::unique_ptr<Optimizer> NewAccumulated(int rounds, std::unique_ptr<Optimizer> inner);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_ACCUMULATED_H_
