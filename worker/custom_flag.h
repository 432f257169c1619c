#ifndef PARLEY_WORKER_CUSTOM_FLAG_H_
#define PARLEY_WORKER_CUSTOM_FLAG_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace parley {

// What "name,option=1.5,other=2" asks for: something that the ps tasks' program has registered,
// with its options. INVALID_ARGUMENT names `flag` and what is wrong; a number that float32 cannot
// hold becomes infinite, which the job's checks refuse. Pure.
absl::StatusOr<v1::Custom> ParseCustomFlag(const char* flag, const std::string& value);

}  // namespace parley

#endif  // PARLEY_WORKER_CUSTOM_FLAG_H_
