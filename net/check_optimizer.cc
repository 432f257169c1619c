#include "net/check_optimizer.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/check_custom.h"

namespace parley {
namespace {

constexpr int64_t kMaxUpdates = int64_t{1} << 48;

// Checks field after field of one message and keeps the first fault. No comparison below is true
// for a NaN.
class Fields {
 public:
  explicit Fields(absl::string_view message) : message_(message) {}

  Fields& NonNegative(absl::string_view field, double value) {
    return Allow(std::isfinite(value) && value >= 0, field, value, "finite numbers >= 0");
  }
  Fields& Positive(absl::string_view field, double value) {
    return Allow(std::isfinite(value) && value > 0, field, value, "finite numbers > 0");
  }
  // Zero stands for a default.
  Fields& PositiveOrDefault(absl::string_view field, double value) {
    return Allow(std::isfinite(value) && value >= 0, field, value,
                 "finite numbers > 0, and 0 for the default");
  }
  Fields& BelowOne(absl::string_view field, double value) {
    return Allow(value >= 0 && value < 1, field, value, "numbers in [0, 1)");
  }
  Fields& UpToOne(absl::string_view field, double value) {
    return Allow(value >= 0 && value <= 1, field, value, "numbers in [0, 1]");
  }
  Fields& Decay(absl::string_view field, double value) {
    return Allow(value > 0 && value <= 1, field, value, "numbers in (0, 1]");
  }
  Fields& Count(absl::string_view field, int64_t value, int64_t least, int64_t most) {
    return Allow(value >= least && value <= most, field, value,
                 absl::StrCat("whole numbers in [", least, ", ", most, "]"));
  }
  template <typename Value>
  Fields& Allow(bool allowed, absl::string_view field, Value value, absl::string_view what) {
    if (!allowed && status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat(message_, ".", field, " is ", value, ", allowed are ", what));
    }
    return *this;
  }

  absl::Status status() const { return status_; }

 private:
  const std::string message_;
  absl::Status status_;
};

absl::Status CheckKind(const v1::Optimizer& optimizer) {
  switch (optimizer.kind_case()) {
    case v1::Optimizer::kSgd:
      return absl::OkStatus();
    case v1::Optimizer::kMomentum:
      return Fields("optimizer.momentum")
          .BelowOne("momentum", optimizer.momentum().momentum())
          .status();
    case v1::Optimizer::kAdam:
      return Fields("optimizer.adam")
          .BelowOne("beta1", optimizer.adam().beta1())
          .BelowOne("beta2", optimizer.adam().beta2())
          .PositiveOrDefault("epsilon", optimizer.adam().epsilon())
          .status();
    case v1::Optimizer::kAdagrad:
      return Fields("optimizer.adagrad")
          .NonNegative("initial_accumulator", optimizer.adagrad().initial_accumulator())
          .NonNegative("rate_decay", optimizer.adagrad().rate_decay())
          .PositiveOrDefault("epsilon", optimizer.adagrad().epsilon())
          .status();
    case v1::Optimizer::kAdadelta:
      return Fields("optimizer.adadelta")
          .BelowOne("rho", optimizer.adadelta().rho())
          .PositiveOrDefault("epsilon", optimizer.adadelta().epsilon())
          .status();
    case v1::Optimizer::kRmsprop:
      return Fields("optimizer.rmsprop")
          .BelowOne("alpha", optimizer.rmsprop().alpha())
          .PositiveOrDefault("epsilon", optimizer.rmsprop().epsilon())
          .BelowOne("momentum", optimizer.rmsprop().momentum())
          .status();
    case v1::Optimizer::kAdamax:
      return Fields("optimizer.adamax")
          .BelowOne("beta1", optimizer.adamax().beta1())
          .BelowOne("beta2", optimizer.adamax().beta2())
          .PositiveOrDefault("epsilon", optimizer.adamax().epsilon())
          .status();
    case v1::Optimizer::kNadam: {
      const float beta1 = optimizer.nadam().beta1();
      return Fields("optimizer.nadam")
          .Allow(beta1 >= 0 && beta1 <= 0.999f, "beta1", beta1, "numbers in [0, 0.999]")
          .BelowOne("beta2", optimizer.nadam().beta2())
          .PositiveOrDefault("epsilon", optimizer.nadam().epsilon())
          .PositiveOrDefault("momentum_decay", optimizer.nadam().momentum_decay())
          .status();
    }
    case v1::Optimizer::kFtrl:
      return Fields("optimizer.ftrl")
          .PositiveOrDefault("beta", optimizer.ftrl().beta())
          .NonNegative("l1", optimizer.ftrl().l1())
          .NonNegative("l2", optimizer.ftrl().l2())
          .status();
    case v1::Optimizer::kLion:
      return Fields("optimizer.lion")
          .BelowOne("beta1", optimizer.lion().beta1())
          .BelowOne("beta2", optimizer.lion().beta2())
          .status();
    case v1::Optimizer::kLamb:
      return Fields("optimizer.lamb")
          .BelowOne("beta1", optimizer.lamb().beta1())
          .BelowOne("beta2", optimizer.lamb().beta2())
          .PositiveOrDefault("epsilon", optimizer.lamb().epsilon())
          .NonNegative("weight_decay", optimizer.lamb().weight_decay())
          .status();
    case v1::Optimizer::kLars:
      return Fields("optimizer.lars")
          .BelowOne("momentum", optimizer.lars().momentum())
          .NonNegative("weight_decay", optimizer.lars().weight_decay())
          .PositiveOrDefault("coefficient", optimizer.lars().coefficient())
          .status();
    case v1::Optimizer::kCustom:
      return CheckCustom("optimizer.custom", optimizer.custom());
    case v1::Optimizer::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "optimizer: no optimizer, or one this version does not know; allowed are sgd, momentum, "
      "adam, adagrad, adadelta, rmsprop, adamax, nadam, ftrl, lion, lamb, lars, custom");
}

absl::Status CheckScheduleKind(const v1::Schedule& schedule) {
  switch (schedule.kind_case()) {
    case v1::Schedule::kStep:
      return Fields("optimizer.schedule.step")
          .Count("every", schedule.step().every(), 1, kMaxUpdates)
          .Decay("gamma", schedule.step().gamma())
          .status();
    case v1::Schedule::kExponential:
      return Fields("optimizer.schedule.exponential")
          .Decay("gamma", schedule.exponential().gamma())
          .status();
    case v1::Schedule::kPolynomial: {
      const float power = schedule.polynomial().power();
      return Fields("optimizer.schedule.polynomial")
          .Count("updates", schedule.polynomial().updates(), 1, kMaxUpdates)
          .Allow(power >= 0 && power <= 64, "power", power, "numbers in (0, 64], and 0 for 1")
          .UpToOne("end", schedule.polynomial().end())
          .status();
    }
    case v1::Schedule::kCosine:
      return Fields("optimizer.schedule.cosine")
          .Count("updates", schedule.cosine().updates(), 1, kMaxUpdates)
          .UpToOne("end", schedule.cosine().end())
          .Count("period_factor", schedule.cosine().period_factor(), 0, 1024)
          .status();
    case v1::Schedule::kOneCycle: {
      const v1::Schedule::OneCycle& cycle = schedule.one_cycle();
      const auto divisor = [](float value) {
        return value == 0 || (std::isfinite(value) && value >= 1);
      };
      constexpr char kDivisors[] = "finite numbers >= 1, and 0 for the default";
      return Fields("optimizer.schedule.one_cycle")
          .Count("updates", cycle.updates(), 1, kMaxUpdates)
          .BelowOne("rising", cycle.rising())
          .Allow(divisor(cycle.start_divisor()), "start_divisor", cycle.start_divisor(), kDivisors)
          .Allow(divisor(cycle.end_divisor()), "end_divisor", cycle.end_divisor(), kDivisors)
          .status();
    }
    case v1::Schedule::kPushed:
    case v1::Schedule::KIND_NOT_SET:
      break;
  }
  return absl::OkStatus();
}

// FTRL recomputes the parameter from its slots: what changes the parameter from outside, or the
// learning rate in between, is not what it says.
absl::Status CheckFtrlOptions(const v1::Optimizer& optimizer) {
  const auto only_zero = [](Fields& fields, absl::string_view field, float value,
                            absl::string_view instead) {
    fields.Allow(value == 0, field, value, absl::StrCat("0 with ftrl", instead));
  };
  Fields fields("optimizer");
  fields.Positive("learning_rate", optimizer.learning_rate());
  only_zero(fields, "l1", optimizer.l1(), ", which has ftrl.l1");
  only_zero(fields, "l2", optimizer.l2(), ", which has ftrl.l2");
  only_zero(fields, "weight_decay", optimizer.weight_decay(), ", which has ftrl.l2");
  fields.Allow(!optimizer.has_schedule(), "schedule", "set",
               "none with ftrl, whose rates fall by themselves");
  return fields.status();
}

// A layer-wise rate makes of a shorter gradient the same step (lars) or nearly the same (lamb), and
// their norms need the exchange between shards that clip_norm needs, once.
absl::Status CheckNormOptions(const v1::Optimizer& optimizer) {
  if (!optimizer.has_lamb() && !optimizer.has_lars()) return absl::OkStatus();
  const std::string kind = optimizer.has_lamb() ? "lamb" : "lars";
  return Fields("optimizer")
      .Allow(optimizer.clip_norm() == 0, "clip_norm", optimizer.clip_norm(),
             absl::StrCat("0 with ", kind, ", whose step does not grow with the gradient"))
      .Allow(optimizer.weight_decay() == 0, "weight_decay", optimizer.weight_decay(),
             absl::StrCat("0 with ", kind, ", which has ", kind, ".weight_decay"))
      .status();
}

}  // namespace

absl::Status CheckOptimizer(const v1::Optimizer& optimizer) {
  const double shrinking =
      static_cast<double>(optimizer.learning_rate()) * optimizer.weight_decay();
  const v1::Schedule& schedule = optimizer.schedule();
  for (const absl::Status& status :
       {Fields("optimizer")
            .NonNegative("learning_rate", optimizer.learning_rate())
            .NonNegative("clip_value", optimizer.clip_value())
            .NonNegative("clip_norm", optimizer.clip_norm())
            .NonNegative("l1", optimizer.l1())
            .NonNegative("l2", optimizer.l2())
            .NonNegative("weight_decay", optimizer.weight_decay())
            .Allow(shrinking <= 1, "weight_decay", optimizer.weight_decay(),
                   "numbers up to 1 / learning_rate")
            .BelowOne("ema_decay", optimizer.ema_decay())
            .Count("accumulate_rounds", optimizer.accumulate_rounds(), 0, 1 << 20)
            .status(),
        CheckKind(optimizer), CheckScheduleKind(schedule),
        Fields("optimizer.schedule")
            .Count("warmup_updates", schedule.warmup_updates(), 0, kMaxUpdates)
            .UpToOne("warmup_start", schedule.warmup_start())
            .status(),
        CheckNormOptions(optimizer),
        optimizer.has_ftrl() ? CheckFtrlOptions(optimizer) : absl::OkStatus()}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace parley
