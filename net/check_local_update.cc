#include "net/check_local_update.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "net/check_optimizer.h"

namespace parley {
namespace {

constexpr int kMaxEvery = 1 << 20;

absl::Status Refused(absl::string_view field, absl::string_view value, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ", allowed ", allowed));
}

absl::Status CheckEvery(absl::string_view policy, int every) {
  if (every >= 1 && every <= kMaxEvery) return absl::OkStatus();
  return Refused(absl::StrCat(policy, ".every"), absl::StrCat(every),
                 absl::StrCat("are numbers in [1, ", kMaxEvery, "]"));
}

// `local` applies gradients at a worker, which knows two kinds and few options.
absl::Status CheckLocalOptimizer(absl::string_view policy, const v1::Optimizer& local) {
  const std::string field = absl::StrCat(policy, ".local");
  v1::Optimizer others = local;
  others.clear_learning_rate();
  others.clear_l2();
  others.clear_sgd();
  others.clear_momentum();
  if ((!local.has_sgd() && !local.has_momentum()) || others.ByteSizeLong() > 0) {
    return Refused(field, absl::StrCat("{", local.ShortDebugString(), "}"),
                   "are the kinds sgd and momentum, with learning_rate and l2");
  }
  return Annotate(CheckOptimizer(local), field);
}

// What arrives at a shard is no gradient: it is taken from the parameter as it is.
absl::Status CheckShardOptimizer(absl::string_view policy, const v1::JobSpec& spec) {
  const std::string allowed = absl::StrCat("with ", policy,
                                           " is {learning_rate: 1 sgd {}}: differences of "
                                           "parameters travel, and gradients are applied by ",
                                           policy, ".local");
  v1::Optimizer only;
  only.set_learning_rate(1);
  only.mutable_sgd();
  const auto text = [](const v1::Optimizer& optimizer) {
    return absl::StrCat("{", optimizer.ShortDebugString(), "}");
  };
  if (text(spec.optimizer()) != text(only)) {
    return Refused("optimizer", text(spec.optimizer()), allowed);
  }
  for (const v1::ParameterSpec& parameter : spec.parameters()) {
    if (!parameter.has_optimizer()) continue;
    return Annotate(Refused("optimizer", text(parameter.optimizer()), allowed),
                    absl::StrCat("parameter ", parameter.name()));
  }
  return absl::OkStatus();
}

absl::Status CheckAll(absl::string_view policy, int every, const v1::Optimizer& local,
                      const v1::JobSpec& spec) {
  PARLEY_RETURN_IF_ERROR(CheckEvery(policy, every));
  PARLEY_RETURN_IF_ERROR(CheckLocalOptimizer(policy, local));
  return CheckShardOptimizer(policy, spec);
}

}  // namespace

bool HasLocalUpdate(const v1::Policy& policy) {
  return policy.has_local_sgd() || policy.has_elastic_averaging() || policy.has_geo();
}

absl::Status CheckLocalUpdate(const v1::JobSpec& spec) {
  const v1::Policy& policy = spec.policy();
  if (policy.has_local_sgd()) {
    return CheckAll("policy.local_sgd", policy.local_sgd().every(), policy.local_sgd().local(),
                    spec);
  }
  if (policy.has_geo()) {
    return CheckAll("policy.geo", policy.geo().every(), policy.geo().local(), spec);
  }
  if (policy.has_elastic_averaging()) {
    const v1::ElasticAveraging& elastic = policy.elastic_averaging();
    if (!(elastic.moving_rate() >= 0 && elastic.moving_rate() <= 1)) {
      return Refused("policy.elastic_averaging.moving_rate", absl::StrCat(elastic.moving_rate()),
                     "are numbers in (0, 1], and 0 for 0.9 / num_workers");
    }
    return CheckAll("policy.elastic_averaging", elastic.every(), elastic.local(), spec);
  }
  return absl::OkStatus();
}

}  // namespace parley
