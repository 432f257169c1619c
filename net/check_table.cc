#include "net/check_table.h"

#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr int kMaxTables = 256;
constexpr int kMaxWidth = 1024;
constexpr int kMaxVirtualShards = 1 << 16;
constexpr int kDefaultVirtualShards = 1024;
constexpr int64_t kMaxRounds = int64_t{1} << 31;
constexpr int kMaxSightings = 1 << 20;

absl::Status Fault(absl::string_view field, const std::string& value, absl::string_view allowed) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ", allowed are ", allowed));
}

absl::Status CheckNumber(absl::string_view field, float value, bool allowed,
                         absl::string_view what) {
  if (std::isfinite(value) && allowed) return absl::OkStatus();
  return Fault(absl::StrCat("optimizer.", field), absl::StrCat(value), what);
}

absl::Status CheckAdam(absl::string_view name, const v1::Adam& adam) {
  const auto field = [&](absl::string_view of) { return absl::StrCat(name, ".", of); };
  PARLEY_RETURN_IF_ERROR(CheckNumber(field("beta1"), adam.beta1(),
                                     adam.beta1() >= 0 && adam.beta1() < 1, "numbers in [0, 1)"));
  PARLEY_RETURN_IF_ERROR(CheckNumber(field("beta2"), adam.beta2(),
                                     adam.beta2() >= 0 && adam.beta2() < 1, "numbers in [0, 1)"));
  PARLEY_RETURN_IF_ERROR(CheckNumber(field("epsilon"), adam.epsilon(), adam.epsilon() >= 0,
                                     "finite numbers > 0, and 0 for the default"));
  if (!adam.amsgrad()) return absl::OkStatus();
  return Fault(absl::StrCat("optimizer.", field("amsgrad")), "true", "false in a table");
}

absl::Status CheckRowOptimizer(const v1::RowOptimizer& optimizer) {
  const float rate = optimizer.learning_rate();
  constexpr char kNonNegative[] = "finite numbers >= 0";
  constexpr char kPositive[] = "finite numbers > 0, and 0 for the default";
  PARLEY_RETURN_IF_ERROR(CheckNumber("learning_rate", rate, rate >= 0, kNonNegative));
  switch (optimizer.kind_case()) {
    case v1::RowOptimizer::kSgd:
      return absl::OkStatus();
    case v1::RowOptimizer::kAdagrad: {
      const v1::Adagrad& adagrad = optimizer.adagrad();
      PARLEY_RETURN_IF_ERROR(CheckNumber("adagrad.initial_accumulator",
                                         adagrad.initial_accumulator(),
                                         adagrad.initial_accumulator() >= 0, kNonNegative));
      PARLEY_RETURN_IF_ERROR(CheckNumber("adagrad.rate_decay", adagrad.rate_decay(),
                                         adagrad.rate_decay() == 0, "0 in a table"));
      return CheckNumber("adagrad.epsilon", adagrad.epsilon(), adagrad.epsilon() >= 0, kPositive);
    }
    case v1::RowOptimizer::kRowwiseAdagrad: {
      const v1::RowwiseAdagrad& adagrad = optimizer.rowwise_adagrad();
      PARLEY_RETURN_IF_ERROR(CheckNumber("rowwise_adagrad.initial_accumulator",
                                         adagrad.initial_accumulator(),
                                         adagrad.initial_accumulator() >= 0, kNonNegative));
      return CheckNumber("rowwise_adagrad.epsilon", adagrad.epsilon(), adagrad.epsilon() >= 0,
                         kPositive);
    }
    case v1::RowOptimizer::kAdam:
      return CheckAdam("adam", optimizer.adam());
    case v1::RowOptimizer::kLazyAdam:
      return CheckAdam("lazy_adam", optimizer.lazy_adam());
    case v1::RowOptimizer::kFtrl: {
      const v1::Ftrl& ftrl = optimizer.ftrl();
      PARLEY_RETURN_IF_ERROR(
          CheckNumber("learning_rate", rate, rate > 0, "finite numbers > 0 with ftrl"));
      PARLEY_RETURN_IF_ERROR(CheckNumber("ftrl.beta", ftrl.beta(), ftrl.beta() >= 0, kPositive));
      PARLEY_RETURN_IF_ERROR(CheckNumber("ftrl.l1", ftrl.l1(), ftrl.l1() >= 0, kNonNegative));
      return CheckNumber("ftrl.l2", ftrl.l2(), ftrl.l2() >= 0, kNonNegative);
    }
    case v1::RowOptimizer::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "optimizer: no kind, or one this version does not know; allowed are sgd, adagrad, "
      "rowwise_adagrad, adam, lazy_adam, ftrl");
}

absl::Status CheckRowPolicy(const v1::Policy& policy, int num_workers) {
  constexpr char kAllowed[] =
      "synchronous with all workers, asynchronous, or bounded_staleness, without rate_by_staleness "
      "and delay_compensation; a table may have a policy of its own";
  bool allowed = !policy.rate_by_staleness() && !policy.has_delay_compensation();
  switch (policy.kind_case()) {
    case v1::Policy::kSynchronous: {
      const v1::Synchronous& synchronous = policy.synchronous();
      allowed = allowed && (synchronous.replicas_to_aggregate() == 0 ||
                            synchronous.replicas_to_aggregate() == num_workers);
      break;
    }
    case v1::Policy::kAsynchronous:
      break;
    case v1::Policy::kBoundedStaleness:
      allowed = allowed && policy.bounded_staleness().limit() >= 0;
      break;
    default:
      allowed = false;
  }
  if (allowed) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("policy {", policy.ShortDebugString(),
                                                 "} is not for tables, allowed are ", kAllowed));
}

absl::Status CheckTable(const v1::JobSpec& spec, v1::TableSpec* table) {
  if (table->width() < 1 || table->width() > kMaxWidth) {
    return Fault("width", absl::StrCat(table->width()),
                 absl::StrCat("whole numbers in [1, ", kMaxWidth, "]"));
  }
  if (table->dtype() != v1::FLOAT32 && table->dtype() != v1::BFLOAT16) {
    return Fault("dtype", absl::StrCat(table->dtype()), "FLOAT32 and BFLOAT16");
  }
  if (table->virtual_shards() < 0 || table->virtual_shards() > kMaxVirtualShards) {
    return Fault("virtual_shards", absl::StrCat(table->virtual_shards()),
                 absl::StrCat("whole numbers in [1, ", kMaxVirtualShards, "], and 0 for ",
                              kDefaultVirtualShards));
  }
  if (table->expire_after_rounds() < 0 || table->expire_after_rounds() > kMaxRounds) {
    return Fault("expire_after_rounds", absl::StrCat(table->expire_after_rounds()),
                 absl::StrCat("whole numbers in [1, ", kMaxRounds, "], and 0 for never"));
  }
  if (table->admit_after_rounds() < 0 || table->admit_after_rounds() > kMaxSightings) {
    return Fault("admit_after_rounds", absl::StrCat(table->admit_after_rounds()),
                 absl::StrCat("whole numbers in [1, ", kMaxSightings, "], and 0 for 1"));
  }
  if (table->memory_limit() < 0) {
    return Fault("memory_limit", absl::StrCat(table->memory_limit()),
                 "numbers of bytes, and 0 for none");
  }
  if (table->virtual_shards() == 0) table->set_virtual_shards(kDefaultVirtualShards);
  PARLEY_RETURN_IF_ERROR(CheckRowOptimizer(table->optimizer()));
  return CheckRowPolicy(table->has_policy() ? table->policy() : spec.policy(), spec.num_workers());
}

}  // namespace

absl::Status CheckTables(v1::JobSpec* spec) {
  if (spec->tables_size() > kMaxTables) {
    return absl::InvalidArgumentError(absl::StrCat(
        "job ", spec->name(), " has ", spec->tables_size(), " tables, allowed are ", kMaxTables));
  }
  std::set<std::string> names;
  for (v1::TableSpec& table : *spec->mutable_tables()) {
    if (table.name().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("job ", spec->name(), ": a table has no name"));
    }
    const std::string who = absl::StrCat("job ", spec->name(), ", table ", table.name());
    if (!names.insert(table.name()).second) {
      return absl::InvalidArgumentError(absl::StrCat(who, ": its name is used twice"));
    }
    PARLEY_RETURN_IF_ERROR(Annotate(CheckTable(*spec, &table), who));
  }
  return absl::OkStatus();
}

}  // namespace parley
