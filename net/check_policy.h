#ifndef PARLEY_NET_CHECK_POLICY_H_
#define PARLEY_NET_CHECK_POLICY_H_

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace parley {

// OK when `policy` is one that proto/job.proto allows for a parameter that `optimizer`, found
// legal, updates in a job of `num_workers` workers. Else INVALID_ARGUMENT that names the field, its
// value and the allowed ones: "policy.bounded_staleness.limit is -1, allowed are whole numbers >=
// 0". Thread safety: pure.
absl::Status CheckPolicy(const v1::Policy& policy, const v1::Optimizer& optimizer, int num_workers);

// OK when the policies of `spec`, each found legal, may be in one job. INVALID_ARGUMENT when one
// parameter is under bounded_staleness, in some phase, and another, or the same in another phase,
// under synchronous rounds that drop late gradients (replicas_to_aggregate, or not
// the first phase): the worker that one waits for could wait for the other.
absl::Status CheckPoliciesTogether(const v1::JobSpec& spec);

}  // namespace parley

#endif  // PARLEY_NET_CHECK_POLICY_H_
