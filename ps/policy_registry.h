#ifndef PARLEY_PS_POLICY_REGISTRY_H_
#define PARLEY_PS_POLICY_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace parley {

class Policy;  // ps/policy.h

// Policies that a program brings of its own, by the name under which a job asks for them
// (Policy.custom in proto/job.proto). As OptimizerRegistry: a factory gets the job's options,
// finite but otherwise unchecked, and answers INVALID_ARGUMENT to those that it cannot use.
using PolicyFactory =
    std::function<absl::StatusOr<std::unique_ptr<Policy>>(const std::map<std::string, float>&)>;
using PolicyRegistry = std::map<std::string, PolicyFactory>;

}  // namespace parley

#endif  // PARLEY_PS_POLICY_REGISTRY_H_
