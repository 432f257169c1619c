#ifndef PARLEY_NET_CHECK_LOCAL_UPDATE_H_
#define PARLEY_NET_CHECK_LOCAL_UPDATE_H_

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace parley {

// Whether the workers of a job keep values of their own, so that differences of parameters travel
// and not gradients: its policy is local_sgd, elastic_averaging or geo.
bool HasLocalUpdate(const v1::Policy& policy);

// OK when `spec` has another policy, or one whose numbers are as proto/job.proto allows them and
// that goes with the rest of the job: the job's optimizer, which works at the shards, must be sgd
// with learning_rate 1 and without options, and no parameter may have its own. Else
// INVALID_ARGUMENT that names the field, its value and the allowed ones:
// "policy.local_sgd.every is 0, allowed are numbers in [1, 1048576]".
absl::Status CheckLocalUpdate(const v1::JobSpec& spec);

}  // namespace parley

#endif  // PARLEY_NET_CHECK_LOCAL_UPDATE_H_
