#ifndef PARLEY_PS_OPTIMIZERS_SCHEDULED_H_
#define PARLEY_PS_OPTIMIZERS_SCHEDULED_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

// `inner` with the learning rate of its round: learning_rate * ScheduleFactor(schedule, round),
// computed in float64 and rounded once. No slots of its own.
std::unique_ptr<Optimizer> NewScheduled(float learning_rate, const v1::Schedule& schedule,
                                        std::unique_ptr<Optimizer> inner);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_SCHEDULED_H_
