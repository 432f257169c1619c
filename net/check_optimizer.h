#ifndef PARLEY_NET_CHECK_OPTIMIZER_H_
#define PARLEY_NET_CHECK_OPTIMIZER_H_

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace parley {

// OK when every number of `optimizer`, its schedule included, is one that proto/job.proto allows.
// Else INVALID_ARGUMENT that names the field, its value and the allowed ones:
// "optimizer.adam.beta1 is 1.5, allowed are numbers in [0, 1)".
absl::Status CheckOptimizer(const v1::Optimizer& optimizer);

}  // namespace parley

#endif  // PARLEY_NET_CHECK_OPTIMIZER_H_
