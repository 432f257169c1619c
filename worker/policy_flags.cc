#include "worker/policy_flags.h"

#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "gflags/gflags.h"
#include "net/check_local_update.h"
#include "net/check_policy.h"
#include "worker/custom_flag.h"
#include "worker/local_update_flags.h"

DEFINE_string(policy, "sync",
              "When an update becomes visible: sync (all workers' gradients make one), async (each "
              "at once), or bounded (each at once, but no worker runs more than --staleness steps "
              "ahead). Several, one after another, with their rounds: sync:200,async. Or, with "
              "workers that train values of their own, local_sgd (their mean), elastic (elastic "
              "averaging) or geo (accumulated differences); or custom: one that the ps tasks' "
              "program brings itself.");
DEFINE_string(custom_policy, "",
              "The name under which custom is registered at the ps tasks, and its options: "
              "name,option=1.5,other=2.");
DEFINE_int32(staleness, 3, "The limit of bounded, in steps.");
DEFINE_int32(
    replicas_to_aggregate, 0,
    "sync: how many workers' gradients make an update; the others are backup workers, whose "
    "late gradients are dropped. 0: all.");
DEFINE_bool(
    await_silent, false,
    "sync: wait for a worker that is silent for longer than its lease, too, up to --timeout.");
DEFINE_bool(rate_by_staleness, false,
            "async and bounded: divide the learning rate by a gradient's staleness.");
DEFINE_double(
    delay_compensation, 0,
    "async and bounded: add this times g * g * (what the parameter has changed since) to a "
    "stale gradient g. 0: nothing.");
DEFINE_string(group_policy, "",
              "Policies of parameters by the beginnings of their names: embedding=async;lstm=sync. "
              "The first that fits counts; the others are under --policy.");

namespace parley {
namespace {

bool WasGiven(const char* flag) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

absl::Status Invalid(absl::string_view message) { return absl::InvalidArgumentError(message); }

// One of sync, async, bounded, custom, which goes into `kinds`.
absl::StatusOr<v1::Policy> ParseKind(absl::string_view flag, absl::string_view kind,
                                     std::set<std::string>* kinds) {
  v1::Policy policy;
  if (kind == "sync") {
    v1::Synchronous* synchronous = policy.mutable_synchronous();
    synchronous->set_replicas_to_aggregate(FLAGS_replicas_to_aggregate);
    synchronous->set_await_silent(FLAGS_await_silent);
  } else if (kind == "async") {
    policy.mutable_asynchronous();
  } else if (kind == "bounded") {
    policy.mutable_bounded_staleness()->set_limit(FLAGS_staleness);
  } else if (kind == "custom") {
    PARLEY_ASSIGN_OR_RETURN(*policy.mutable_custom(),
                            ParseCustomFlag("custom_policy", FLAGS_custom_policy));
  } else {
    return Invalid(absl::StrCat("--", flag, "=", kind, " is none of sync, async, bounded, custom",
                                flag == "policy" ? ", " : "",
                                flag == "policy" ? LocalUpdateNames() : ""));
  }
  if (policy.has_asynchronous() || policy.has_bounded_staleness()) {
    policy.set_rate_by_staleness(FLAGS_rate_by_staleness);
    if (FLAGS_delay_compensation != 0) {
      // What float32 cannot hold becomes infinite, which CheckPolicy refuses.
      const bool large = FLAGS_delay_compensation > std::numeric_limits<float>::max();
      policy.mutable_delay_compensation()->set_lambda(
          large ? std::numeric_limits<float>::infinity()
                : static_cast<float>(FLAGS_delay_compensation));
    }
  }
  kinds->insert(std::string(kind));
  return policy;
}

// "async", or "sync:200,async".
absl::StatusOr<v1::Policy> Parse(absl::string_view flag, absl::string_view text,
                                 std::set<std::string>* kinds) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  if (parts.size() == 1) return ParseKind(flag, text, kinds);
  v1::Policy policy;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::vector<std::string> words = absl::StrSplit(parts[i], absl::MaxSplits(':', 1));
    const bool last = i + 1 == parts.size();
    int64_t rounds = 0;
    if (words.size() == 1 ? !last : last || !absl::SimpleAtoi(words[1], &rounds)) {
      return Invalid(absl::StrCat("--", flag, "=", text,
                                  ": each policy but the last needs its number of rounds, like "
                                  "sync:200,async"));
    }
    v1::Phases::Phase* phase = policy.mutable_phases()->add_phase();
    PARLEY_ASSIGN_OR_RETURN(*phase->mutable_policy(), ParseKind(flag, words[0], kinds));
    phase->set_rounds(rounds);
  }
  return policy;
}

// Beginnings of names with their policies, in order.
absl::StatusOr<std::vector<std::pair<std::string, v1::Policy>>> ParseGroups(
    std::set<std::string>* kinds) {
  std::vector<std::pair<std::string, v1::Policy>> groups;
  if (FLAGS_group_policy.empty()) return groups;
  for (const absl::string_view group : absl::StrSplit(FLAGS_group_policy, ';')) {
    const std::pair<std::string, std::string> words =
        absl::StrSplit(group, absl::MaxSplits('=', 1));
    if (words.first.empty() || words.second.empty()) {
      return Invalid(absl::StrCat("--group_policy=", FLAGS_group_policy,
                                  " is not like embedding=async;lstm=sync"));
    }
    PARLEY_ASSIGN_OR_RETURN(v1::Policy policy, Parse("group_policy", words.second, kinds));
    groups.emplace_back(words.first, std::move(policy));
  }
  return groups;
}

}  // namespace

FlagGroup PolicyFlagGroup() {
  FlagGroup group = {"The policy",
                     {"policy", "staleness", "replicas_to_aggregate", "await_silent",
                      "rate_by_staleness", "delay_compensation", "group_policy", "custom_policy"}};
  for (std::string& flag : LocalUpdateFlagNames()) group.flags.push_back(std::move(flag));
  return group;
}

absl::StatusOr<v1::Policy> PolicyFromFlags(v1::Optimizer* optimizer, int num_workers) {
  std::set<std::string> kinds;
  v1::Policy policy;
  PARLEY_RETURN_IF_ERROR(LocalUpdateFromFlags(FLAGS_policy, &policy, optimizer));
  if (HasLocalUpdate(policy)) {
    for (const char* flag : {"push_dtype", "pull_dtype"}) {
      if (!WasGiven(flag)) continue;
      return Invalid(absl::StrCat("--", flag, " is not for --policy=", FLAGS_policy,
                                  ", whose differences travel in float32"));
    }
  } else {
    PARLEY_ASSIGN_OR_RETURN(policy, Parse("policy", FLAGS_policy, &kinds));
  }
  PARLEY_RETURN_IF_ERROR(ParseGroups(&kinds).status());
  const struct {
    const char* flag;
    std::vector<std::string> kinds;
  } kUses[] = {{"staleness", {"bounded"}},
               {"replicas_to_aggregate", {"sync"}},
               {"await_silent", {"sync"}},
               {"rate_by_staleness", {"async", "bounded"}},
               {"delay_compensation", {"async", "bounded"}},
               {"custom_policy", {"custom"}}};
  for (const auto& use : kUses) {
    bool used = false;
    for (const std::string& kind : use.kinds) used = used || kinds.count(kind) > 0;
    if (WasGiven(use.flag) && !used) {
      return Invalid(absl::StrCat("--", use.flag, " is for --policy=", use.kinds[0],
                                  use.kinds.size() > 1 ? " or bounded" : "", ", not ",
                                  FLAGS_policy));
    }
  }
  PARLEY_RETURN_IF_ERROR(CheckPolicy(policy, *optimizer, num_workers));
  return policy;
}

absl::Status SetGroupPolicies(v1::JobSpec* spec) {
  std::set<std::string> kinds;
  PARLEY_ASSIGN_OR_RETURN(const auto groups, ParseGroups(&kinds));
  for (const auto& [beginning, policy] : groups) {
    bool found = false;
    for (v1::ParameterSpec& parameter : *spec->mutable_parameters()) {
      if (!absl::StartsWith(parameter.name(), beginning)) continue;
      found = true;
      if (!parameter.has_policy()) *parameter.mutable_policy() = policy;
    }
    if (found) continue;
    return Invalid(absl::StrCat("--group_policy: no parameter's name begins with ", beginning));
  }
  return absl::OkStatus();
}

}  // namespace parley
