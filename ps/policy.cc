#include "ps/policy.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "ps/policies/asynchronous.h"
#include "ps/policies/bounded_staleness.h"
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

}  // namespace

absl::StatusOr<std::unique_ptr<Policy>> NewPolicy(const v1::Policy& spec,
                                                  const PolicyRegistry& registry) {
  switch (spec.kind_case()) {
    case v1::Policy::kSynchronous:
    case v1::Policy::kLocalSgd:  // rounds of differences
      return NewSynchronous();
    case v1::Policy::kAsynchronous:
    case v1::Policy::kElasticAveraging:
    case v1::Policy::kGeo:
      return NewAsynchronous();
    case v1::Policy::kBoundedStaleness:
      return NewBoundedStaleness(spec.bounded_staleness().limit());
    case v1::Policy::kCustom:
      return NewCustom(spec.custom(), registry);
    case v1::Policy::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("no policy, or one this version does not know");
}

}  // namespace parley
