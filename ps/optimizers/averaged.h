#ifndef PARLEY_PS_OPTIMIZERS_AVERAGED_H_
#define PARLEY_PS_OPTIMIZERS_AVERAGED_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

// `inner`, and beside it an exponential moving average of the parameter, as
// torch.optim.swa_utils.get_ema_multi_avg_fn computes it (Polyak and Juditsky, 1992, average
// evenly). The slots of `inner`, and kAverageSlot, which begins as the first
// value of the parameter.
//   p as `inner` says
//   average <- average + (1 - decay) * (p - average)          0 <= decay < 1
std::unique_ptr<Optimizer> NewAveraged(float decay, std::unique_ptr<Optimizer> inner);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_AVERAGED_H_
