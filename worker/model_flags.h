#ifndef PARLEY_WORKER_MODEL_FLAGS_H_
#define PARLEY_WORKER_MODEL_FLAGS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/flags.h"
#include "data/dataset.h"
#include "worker/supervised_task.h"

namespace parley {

// The flags of parley_worker that say what is trained, on what data, and where it is computed.
// Thread safety: none; for main, after the flags are parsed.

// For CommandLine::groups (base/flags.h).
std::vector<FlagGroup> ModelFlagGroups();

// INVALID_ARGUMENT, naming the flag, for values that make no sense whatever the data, and for flags
// that are not for --model.
absl::Status CheckModelFlags();

// What --data_dir holds, as --model needs it.
absl::StatusOr<data::TrainAndTest> OpenDataOfFlags();

// Everything of the options but the worker, the number of them and the seed. UNAVAILABLE or
// UNIMPLEMENTED, with the reason, when --device cannot be used.
absl::StatusOr<SupervisedTaskOptions> TaskOptionsOfFlags();

}  // namespace parley

#endif  // PARLEY_WORKER_MODEL_FLAGS_H_
