#include "net/check_policy.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "net/check_custom.h"
#include "net/check_local_update.h"

namespace parley {
namespace {

constexpr int kMaxPhases = 64;
constexpr int64_t kMaxRounds = int64_t{1} << 48;
constexpr char kKinds[] = "synchronous, asynchronous, bounded_staleness, custom";

template <typename Value>
absl::Status Fault(absl::string_view field, Value value, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ", allowed are ", allowed));
}

absl::Status NoKind(absl::string_view name, absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": no policy, or one this version does not know; allowed are ", allowed));
}

// What changes a stale gradient.
absl::Status CheckCorrections(const std::string& name, const v1::Policy& policy,
                              const v1::Optimizer& optimizer) {
  const bool one_by_one = policy.has_asynchronous() || policy.has_bounded_staleness();
  if (policy.rate_by_staleness()) {
    const std::string field = absl::StrCat(name, ".rate_by_staleness");
    if (!one_by_one) {
      return Fault(field, "true", "only asynchronous and bounded_staleness, or phases of these");
    }
    if (optimizer.has_ftrl()) {
      return Fault(field, "true", "all optimizers but ftrl, whose rates fall by themselves");
    }
    if (optimizer.accumulate_rounds() > 1) {
      return Fault(field, "true", "optimizers with accumulate_rounds 1");
    }
  }
  if (policy.has_delay_compensation()) {
    if (!one_by_one) {
      return Fault(absl::StrCat(name, ".delay_compensation"), "set",
                   "only asynchronous and bounded_staleness, or phases of these");
    }
    const float lambda = policy.delay_compensation().lambda();
    if (!(std::isfinite(lambda) && lambda > 0)) {
      return Fault(absl::StrCat(name, ".delay_compensation.lambda"), lambda, "finite numbers > 0");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOne(const std::string& name, const v1::Policy& policy,
                      const v1::Optimizer& optimizer, int num_workers) {
  switch (policy.kind_case()) {
    case v1::Policy::kSynchronous: {
      const int replicas = policy.synchronous().replicas_to_aggregate();
      if (replicas < 0 || replicas > num_workers) {
        return Fault(absl::StrCat(name, ".synchronous.replicas_to_aggregate"), replicas,
                     absl::StrCat("whole numbers in [1, ", num_workers,
                                  "], the number of workers, and 0 for all"));
      }
      if (policy.synchronous().await_silent() && replicas != 0 && replicas != num_workers) {
        return Fault(absl::StrCat(name, ".synchronous.await_silent"), "true",
                     "only rounds of all workers");
      }
      break;
    }
    case v1::Policy::kAsynchronous:
      break;
    case v1::Policy::kBoundedStaleness:
      if (policy.bounded_staleness().limit() < 0) {
        return Fault(absl::StrCat(name, ".bounded_staleness.limit"),
                     policy.bounded_staleness().limit(), "whole numbers >= 0");
      }
      break;
    case v1::Policy::kCustom:
      PARLEY_RETURN_IF_ERROR(CheckCustom(absl::StrCat(name, ".custom"), policy.custom()));
      break;
    case v1::Policy::kPhases:
    case v1::Policy::kLocalSgd:
    case v1::Policy::kElasticAveraging:
    case v1::Policy::kGeo:
    case v1::Policy::KIND_NOT_SET:
      return NoKind(name, kKinds);
  }
  return CheckCorrections(name, policy, optimizer);
}

}  // namespace

absl::Status CheckPolicy(const v1::Policy& policy, const v1::Optimizer& optimizer,
                         int num_workers) {
  if (policy.kind_case() == v1::Policy::KIND_NOT_SET) {
    return NoKind("policy", absl::StrCat(kKinds, ", phases, local_sgd, elastic_averaging, geo"));
  }
  if (HasLocalUpdate(policy)) return CheckCorrections("policy", policy, optimizer);
  if (!policy.has_phases()) return CheckOne("policy", policy, optimizer, num_workers);
  PARLEY_RETURN_IF_ERROR(CheckCorrections("policy", policy, optimizer));
  const v1::Phases& phases = policy.phases();
  if (phases.phase_size() < 2 || phases.phase_size() > kMaxPhases) {
    return Fault("the number of policy.phases", phases.phase_size(),
                 absl::StrCat("whole numbers in [2, ", kMaxPhases, "]"));
  }
  for (int i = 0; i < phases.phase_size(); ++i) {
    const std::string name = absl::StrCat("policy.phases[", i, "]");
    const int64_t rounds = phases.phase(i).rounds();
    const bool last = i + 1 == phases.phase_size();
    if (last && rounds != 0) {
      return Fault(absl::StrCat(name, ".rounds"), rounds,
                   "0 in the last phase, which does not end");
    }
    if (!last && (rounds < 1 || rounds > kMaxRounds)) {
      return Fault(absl::StrCat(name, ".rounds"), rounds,
                   absl::StrCat("whole numbers in [1, ", kMaxRounds, "]"));
    }
    PARLEY_RETURN_IF_ERROR(
        CheckOne(absl::StrCat(name, ".policy"), phases.phase(i).policy(), optimizer, num_workers));
  }
  return absl::OkStatus();
}

absl::Status CheckPoliciesTogether(const v1::JobSpec& spec) {
  std::string bounded;    // which policy is
  std::string dropping;   // likewise
  std::string releasing;  // likewise: a round is a step, and does without silent workers
  const auto look = [&](const std::string& who, const v1::Policy& policy, bool first) {
    const v1::Synchronous& synchronous = policy.synchronous();
    const bool plain = synchronous.replicas_to_aggregate() == 0 ||
                       synchronous.replicas_to_aggregate() == spec.num_workers();
    if (policy.has_bounded_staleness()) bounded = who;
    if (!policy.has_synchronous()) return;
    if (!(plain && first)) {
      dropping = who;
    } else if (!synchronous.await_silent()) {
      releasing = who;
    }
  };
  const auto look_at_all = [&](const std::string& who, const v1::Policy& policy) {
    look(who, policy, /*first=*/true);
    for (int i = 0; i < policy.phases().phase_size(); ++i) {
      look(absl::StrCat(who, ".phases[", i, "].policy"), policy.phases().phase(i).policy(), i == 0);
    }
  };
  look_at_all("policy", spec.policy());
  for (const v1::ParameterSpec& parameter : spec.parameters()) {
    if (!parameter.has_policy()) continue;
    look_at_all(absl::StrCat("policy of parameter ", parameter.name()), parameter.policy());
  }
  for (const v1::TableSpec& table : spec.tables()) {
    if (table.has_policy()) {
      look_at_all(absl::StrCat("policy of table ", table.name()), table.policy());
    }
  }
  if (!releasing.empty() && !dropping.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        releasing, ".synchronous.await_silent is false and ", dropping,
        " synchronous with late gradients that are dropped, allowed in one job is true: "
        "a worker that comes back could wait for one, and the others for it"));
  }
  if (bounded.empty() || dropping.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(bounded, " is bounded_staleness and ", dropping,
                   " synchronous with late gradients that are dropped, allowed is one of them in a "
                   "job: the worker that one waits for could wait for the other"));
}

}  // namespace parley
