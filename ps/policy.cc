#include "ps/policy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "ps/policies/asynchronous.h"
#include "ps/policies/backup_workers.h"
#include "ps/policies/bounded_staleness.h"
#include "ps/policies/phased.h"
#include "ps/policies/synchronous.h"

namespace parley {
namespace {

absl::StatusOr<std::unique_ptr<Policy>> NewCustom(const v1::Custom& custom,
                                                  const PolicyRegistry& registry) {
  const auto found = registry.find(custom.name());
  if (found == registry.end()) {
    const auto name = [](std::string* out, const auto& entry) { out->append(entry.first); };
    return absl::InvalidArgumentError(absl::StrCat(
        "policy.custom.name is ", custom.name(), ", ",
        registry.empty() ? "but this program has registered none"
                         : absl::StrCat("allowed are ", absl::StrJoin(registry, ", ", name))));
  }
  absl::StatusOr<std::unique_ptr<Policy>> made =
      found->second({custom.options().begin(), custom.options().end()});
  if (!made.ok()) return Annotate(made.status(), absl::StrCat("policy ", custom.name()));
  return made;
}

// `first`: it begins with round 0, so that in a plain synchronous job a step is a round.
absl::StatusOr<std::unique_ptr<Policy>> NewSimplePolicy(const v1::Policy& spec, int num_workers,
                                                        bool first,
                                                        const PolicyRegistry& registry) {
  CorrectionRule rule;
  rule.rate_by_staleness = spec.rate_by_staleness();
  rule.lambda = spec.delay_compensation().lambda();
  switch (spec.kind_case()) {
    case v1::Policy::kSynchronous: {
      const v1::Synchronous& synchronous = spec.synchronous();
      const int asked = synchronous.replicas_to_aggregate();
      const int replicas = asked == 0 ? num_workers : asked;
      if (replicas == num_workers && first) return NewSynchronous(synchronous.await_silent());
      return NewBackupWorkers(replicas, /*needs_every_worker=*/replicas == num_workers,
                              synchronous.await_silent());
    }
    case v1::Policy::kLocalSgd:  // rounds of differences
      return NewSynchronous(/*awaits_silent=*/false);
    case v1::Policy::kElasticAveraging:
    case v1::Policy::kGeo:
    case v1::Policy::kAsynchronous:
      return NewAsynchronous(rule);
    case v1::Policy::kBoundedStaleness:
      return NewBoundedStaleness(spec.bounded_staleness().limit(), rule);
    case v1::Policy::kCustom:
      return NewCustom(spec.custom(), registry);
    case v1::Policy::kPhases:
    case v1::Policy::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("no policy, or one this version does not know");
}

}  // namespace

int64_t Policy::RoundsFor(const RoundSnapshot& round, int64_t) const { return round.scheduled; }

bool Policy::PullsNeverWait(int64_t) const { return false; }

bool Policy::AwaitsSilent(int64_t) const { return true; }
bool Policy::IsLate(const RoundSnapshot&, int64_t, int64_t) const { return false; }
absl::optional<int64_t> Policy::NextStep(const RoundSnapshot&, int, int64_t) const { return {}; }
Correction Policy::CorrectionFor(int64_t, int64_t) const { return {}; }
int Policy::PhaseOf(int64_t) const { return 0; }

absl::StatusOr<std::unique_ptr<Policy>> NewPolicy(const v1::Policy& spec, int num_workers,
                                                  const PolicyRegistry& registry) {
  if (!spec.has_phases()) return NewSimplePolicy(spec, num_workers, /*first=*/true, registry);
  std::vector<PolicyPhase> phases;
  int64_t end = 0;
  for (const v1::Phases::Phase& phase : spec.phases().phase()) {
    PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy,
                            NewSimplePolicy(phase.policy(), num_workers, phases.empty(), registry));
    end += phase.rounds();
    phases.push_back({std::move(policy), end});
  }
  if (phases.empty()) return absl::InvalidArgumentError("a policy of no phases");
  return NewPhased(std::move(phases));
}

}  // namespace parley
