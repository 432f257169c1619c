#ifndef PARLEY_NET_CHECK_NORM_POLICY_H_
#define PARLEY_NET_CHECK_NORM_POLICY_H_

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace parley {

// OK unless an optimizer of the job needs norms over whole parameters (net/norm_sums.h) and its
// policy cannot have them: a round must be the same one on all shards. Else INVALID_ARGUMENT,
// naming the field and the allowed policy.
absl::Status CheckNormPolicy(const v1::JobSpec& spec);

}  // namespace parley

#endif  // PARLEY_NET_CHECK_NORM_POLICY_H_
