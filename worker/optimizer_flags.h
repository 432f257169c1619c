#ifndef PARLEY_WORKER_OPTIMIZER_FLAGS_H_
#define PARLEY_WORKER_OPTIMIZER_FLAGS_H_

#include "absl/status/statusor.h"
#include "base/flags.h"
#include "proto/job.pb.h"

namespace parley {

// The flags of parley_worker that say how the shards update the parameters.
// Thread safety: none; for main, after the flags are parsed.

// For CommandLine::groups (base/flags.h).
FlagGroup OptimizerFlagGroup();

// What the flags declare. INVALID_ARGUMENT names the flag that --optimizer or --lr_schedule has no
// use for, or the number that is out of range (see CheckOptimizer).
absl::StatusOr<v1::Optimizer> OptimizerFromFlags();

}  // namespace parley

#endif  // PARLEY_WORKER_OPTIMIZER_FLAGS_H_
