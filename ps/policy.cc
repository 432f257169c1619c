#include "ps/policy.h"

#include "ps/policies/asynchronous.h"
#include "ps/policies/bounded_staleness.h"
#include "ps/policies/synchronous.h"

namespace parley {

absl::StatusOr<std::unique_ptr<Policy>> NewPolicy(const v1::Policy& spec) {
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
    case v1::Policy::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("no policy, or one this version does not know");
}

}  // namespace parley
