#include "net/check_norm_policy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "net/norm_sums.h"

namespace parley {

absl::Status CheckNormPolicy(const v1::JobSpec& spec) {
  if (spec.policy().has_synchronous()) return absl::OkStatus();
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
    return refused(own ? absl::StrCat("parameter ", parameter.name(), ": ") : "", optimizer);
  }
  return absl::OkStatus();
}

}  // namespace parley
