#ifndef PARLEY_DEPLOY_JOB_FLAGS_H_
#define PARLEY_DEPLOY_JOB_FLAGS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/flags.h"
#include "net/job_link.h"

namespace parley {

// The flags of commands about a running job, which say where it is.
FlagGroup JobFlagGroup();

// Whether any of them was given.
bool HasJobFlags();

// To the job that they mean. INVALID_ARGUMENT for flags that make no sense. Connects to nobody yet.
absl::StatusOr<std::unique_ptr<JobLink>> LinkOfFlags();

}  // namespace parley

#endif  // PARLEY_DEPLOY_JOB_FLAGS_H_
