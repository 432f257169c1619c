#ifndef PARLEY_WORKER_POLICY_FLAGS_H_
#define PARLEY_WORKER_POLICY_FLAGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/flags.h"
#include "proto/job.pb.h"

namespace parley {

// The flags of parley_worker that say when an update becomes visible.
// Thread safety: none; for main, after the flags are parsed.

// For CommandLine::groups (base/flags.h).
FlagGroup PolicyFlagGroup();

// What --policy declares for a job of `num_workers` workers whose parameters `optimizer`, that of
// the flags, updates; a policy under which workers update values of their own takes it for that,
// and `optimizer` becomes what the shards then have. INVALID_ARGUMENT names the flag that neither
// --policy nor --group_policy has a use for, or the number that is out of range (see CheckPolicy).
absl::StatusOr<v1::Policy> PolicyFromFlags(v1::Optimizer* optimizer, int num_workers);

// Gives the parameters whose names begin as --group_policy says policies of their own.
// INVALID_ARGUMENT when no name does, or the policy is not legal for one.
absl::Status SetGroupPolicies(v1::JobSpec* spec);

}  // namespace parley

#endif  // PARLEY_WORKER_POLICY_FLAGS_H_
