#ifndef PARLEY_PS_SCHEDULE_H_
#define PARLEY_PS_SCHEDULE_H_

#include <cstdint>

#include "proto/job.pb.h"

namespace parley {

// The factor by which the learning rate of update number `update` (from 1) is the declared one;
// `pushed` is what the chief has said for it, for a schedule of that kind;
// proto/job.proto has the formulas. Unless it is pushed, in [0, 1], and the same bits on every
// machine: nothing but additions, multiplications, divisions and square roots, each rounded as IEEE
// 754 says. Within 1e-13 of the exact number. Pure; safe from any thread. The numbers in `schedule`
// must be those that CheckOptimizer allows.
double ScheduleFactor(const v1::Schedule& schedule, int64_t update, double pushed = 1);

}  // namespace parley

#endif  // PARLEY_PS_SCHEDULE_H_
