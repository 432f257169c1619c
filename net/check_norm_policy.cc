#include "net/check_norm_policy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "net/norm_sums.h"

namespace parley {

absl::Status CheckNormPolicy(const v1::JobSpec& spec) {
  // A round must be the same gradients on all shards.
  const auto is_plain = [&](const v1::Policy& policy) {
    const int replicas = policy.synchronous().replicas_to_aggregate();
    return policy.has_synchronous() && (replicas == 0 || replicas == spec.num_workers());
  };
  const auto refused = [](const std::string& who, const v1::Optimizer& optimizer) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, "optimizer.", NormField(optimizer),
        " needs norms over whole parameters, whose blocks on other shards must be in the same "
        "round: the allowed policy is synchronous"));
  };
  for (const v1::ParameterSpec& parameter : spec.parameters()) {
    const bool own = parameter.has_optimizer();
    const v1::Optimizer& optimizer = own ? parameter.optimizer() : spec.optimizer();
    if (NumNormSums(optimizer) == 0) continue;
    if (is_plain(parameter.has_policy() ? parameter.policy() : spec.policy())) continue;
    return refused(own ? absl::StrCat("parameter ", parameter.name(), ": ") : "", optimizer);
  }
  return absl::OkStatus();
}

}  // namespace parley
