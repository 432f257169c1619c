#include "worker/local_update_flags.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"

DEFINE_int32(exchange_every, 8,
             "The steps from one exchange to the next of --policy=local_sgd, elastic and geo; in "
             "[1, 1048576].");
DEFINE_double(moving_rate, 0,
              "How far --policy=elastic moves worker and shards towards each other in an exchange; "
              "in (0, 1]. 0: 0.9 divided by the number of workers.");

namespace parley {
namespace {

bool WasGiven(const char* flag) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

}  // namespace

std::vector<std::string> LocalUpdateFlagNames() { return {"exchange_every", "moving_rate"}; }

absl::string_view LocalUpdateNames() { return "local_sgd, elastic, geo"; }

absl::Status LocalUpdateFromFlags(absl::string_view name, v1::Policy* policy,
                                  v1::Optimizer* optimizer) {
  const bool known = name == "local_sgd" || name == "elastic" || name == "geo";
  if (!known && WasGiven("exchange_every")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--exchange_every is for --policy=", LocalUpdateNames(), ", not ", name));
  }
  if (name != "elastic" && WasGiven("moving_rate")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--moving_rate is for --policy=elastic, not ", name));
  }
  if (!known) return absl::OkStatus();
  if (FLAGS_exchange_every < 1 || FLAGS_exchange_every > (1 << 20)) {
    return absl::InvalidArgumentError("--exchange_every is not in [1, 1048576]");
  }
  if (!(FLAGS_moving_rate >= 0 && FLAGS_moving_rate <= 1)) {
    return absl::InvalidArgumentError("--moving_rate is not in [0, 1]");
  }
  if (!optimizer->has_sgd() && !optimizer->has_momentum()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--policy=", name,
                     " needs --optimizer=sgd, momentum or nesterov, which its workers apply"));
  }
  v1::Optimizer local = std::exchange(*optimizer, v1::Optimizer());
  optimizer->set_learning_rate(1);
  optimizer->mutable_sgd();
  if (name == "local_sgd") {
    policy->mutable_local_sgd()->set_every(FLAGS_exchange_every);
    *policy->mutable_local_sgd()->mutable_local() = std::move(local);
  } else if (name == "geo") {
    policy->mutable_geo()->set_every(FLAGS_exchange_every);
    *policy->mutable_geo()->mutable_local() = std::move(local);
  } else {
    v1::ElasticAveraging* const elastic = policy->mutable_elastic_averaging();
    elastic->set_every(FLAGS_exchange_every);
    elastic->set_moving_rate(static_cast<float>(FLAGS_moving_rate));
    *elastic->mutable_local() = std::move(local);
  }
  return absl::OkStatus();
}

}  // namespace parley
