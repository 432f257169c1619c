#include "net/check_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

namespace parley {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

v1::Optimizer LegalSgd() {
  v1::Optimizer optimizer;
  optimizer.set_learning_rate(0.1f);
  optimizer.mutable_sgd();
  return optimizer;
}

struct Declaration {
  std::string reason;  // "" for a legal one
  std::function<void(v1::Optimizer*)> change;
};

void ExpectAll(const std::vector<Declaration>& declarations) {
  for (const Declaration& declaration : declarations) {
    v1::Optimizer optimizer = LegalSgd();
    declaration.change(&optimizer);
    const absl::Status status = CheckOptimizer(optimizer);
    SCOPED_TRACE(optimizer.ShortDebugString());
    if (declaration.reason.empty()) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(std::string(status.message()), declaration.reason);
    }
  }
}

TEST(CheckOptimizer, NamesTheFieldOfEachKindItsValueAndTheAllowedOnes) {
  ExpectAll({
      {"optimizer: no optimizer, or one this version does not know; allowed are sgd, momentum, "
       "adam, adagrad, adadelta, rmsprop, adamax, nadam, ftrl, lion, lamb, lars, custom",
       [](v1::Optimizer* o) { o->clear_kind(); }},
      {"optimizer.lamb.beta2 is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_lamb()->set_beta2(1); }},
      {"optimizer.lamb.epsilon is -1, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_lamb()->set_epsilon(-1); }},
      {"optimizer.lamb.weight_decay is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->mutable_lamb()->set_weight_decay(-1); }},
      {"optimizer.lars.momentum is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_lars()->set_momentum(1); }},
      {"optimizer.lars.coefficient is inf, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_lars()->set_coefficient(kInfinity); }},
      {"optimizer.clip_norm is 1, allowed are 0 with lars, whose step does not grow with the "
       "gradient",
       [](v1::Optimizer* o) {
         o->mutable_lars();
         o->set_clip_norm(1);
       }},
      {"optimizer.weight_decay is 0.5, allowed are 0 with lamb, which has lamb.weight_decay",
       [](v1::Optimizer* o) {
         o->mutable_lamb();
         o->set_weight_decay(0.5f);
       }},
      {"optimizer.clip_norm is nan, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_clip_norm(kNan); }},
      {"optimizer.ema_decay is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->set_ema_decay(1); }},
      {"",
       [](v1::Optimizer* o) {
         o->mutable_lamb()->set_weight_decay(1);
         o->set_ema_decay(0.999f);
         o->mutable_schedule()->mutable_pushed();
       }},
      {"optimizer.momentum.momentum is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_momentum()->set_momentum(1); }},
      {"optimizer.adam.beta1 is -0.5, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_adam()->set_beta1(-0.5f); }},
      {"optimizer.adam.beta2 is nan, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_adam()->set_beta2(kNan); }},
      {"optimizer.adam.epsilon is inf, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_adam()->set_epsilon(kInfinity); }},
      {"optimizer.adagrad.initial_accumulator is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->mutable_adagrad()->set_initial_accumulator(-1); }},
      {"optimizer.adagrad.rate_decay is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->mutable_adagrad()->set_rate_decay(-1); }},
      {"optimizer.adagrad.epsilon is -1, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_adagrad()->set_epsilon(-1); }},
      {"optimizer.adadelta.rho is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_adadelta()->set_rho(1); }},
      {"optimizer.adadelta.epsilon is -1, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_adadelta()->set_epsilon(-1); }},
      {"optimizer.rmsprop.alpha is 2, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_rmsprop()->set_alpha(2); }},
      {"optimizer.rmsprop.epsilon is -1, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_rmsprop()->set_epsilon(-1); }},
      {"optimizer.rmsprop.momentum is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_rmsprop()->set_momentum(1); }},
      {"optimizer.adamax.beta1 is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_adamax()->set_beta1(1); }},
      {"optimizer.adamax.beta2 is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_adamax()->set_beta2(1); }},
      {"optimizer.adamax.epsilon is -1, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_adamax()->set_epsilon(-1); }},
      {"optimizer.nadam.beta1 is 0.9995, allowed are numbers in [0, 0.999]",
       [](v1::Optimizer* o) { o->mutable_nadam()->set_beta1(0.9995f); }},
      {"optimizer.nadam.beta2 is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_nadam()->set_beta2(1); }},
      {"optimizer.nadam.epsilon is nan, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_nadam()->set_epsilon(kNan); }},
      {"optimizer.nadam.momentum_decay is -1, allowed are finite numbers > 0, and 0 for the "
       "default",
       [](v1::Optimizer* o) { o->mutable_nadam()->set_momentum_decay(-1); }},
      {"optimizer.ftrl.beta is -1, allowed are finite numbers > 0, and 0 for the default",
       [](v1::Optimizer* o) { o->mutable_ftrl()->set_beta(-1); }},
      {"optimizer.ftrl.l1 is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->mutable_ftrl()->set_l1(-1); }},
      {"optimizer.ftrl.l2 is inf, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->mutable_ftrl()->set_l2(kInfinity); }},
      {"optimizer.lion.beta1 is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_lion()->set_beta1(1); }},
      {"optimizer.lion.beta2 is -1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) { o->mutable_lion()->set_beta2(-1); }},
  });
}

TEST(CheckOptimizer, NamesTheOptionThatIsIllegal) {
  ExpectAll({
      {"optimizer.learning_rate is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_learning_rate(-1); }},
      {"optimizer.learning_rate is nan, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_learning_rate(kNan); }},
      {"optimizer.clip_value is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_clip_value(-1); }},
      {"optimizer.l1 is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_l1(-1); }},
      {"optimizer.l2 is nan, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_l2(kNan); }},
      {"optimizer.weight_decay is -1, allowed are finite numbers >= 0",
       [](v1::Optimizer* o) { o->set_weight_decay(-1); }},
      {"optimizer.weight_decay is 11, allowed are numbers up to 1 / learning_rate",
       [](v1::Optimizer* o) { o->set_weight_decay(11); }},
      {"optimizer.accumulate_rounds is -1, allowed are whole numbers in [0, 1048576]",
       [](v1::Optimizer* o) { o->set_accumulate_rounds(-1); }},
      {"optimizer.learning_rate is 0, allowed are finite numbers > 0",
       [](v1::Optimizer* o) {
         o->mutable_ftrl();
         o->set_learning_rate(0);
       }},
      {"optimizer.l1 is 1, allowed are 0 with ftrl, which has ftrl.l1",
       [](v1::Optimizer* o) {
         o->mutable_ftrl();
         o->set_l1(1);
       }},
      {"optimizer.l2 is 1, allowed are 0 with ftrl, which has ftrl.l2",
       [](v1::Optimizer* o) {
         o->mutable_ftrl();
         o->set_l2(1);
       }},
      {"optimizer.weight_decay is 1, allowed are 0 with ftrl, which has ftrl.l2",
       [](v1::Optimizer* o) {
         o->mutable_ftrl();
         o->set_weight_decay(1);
       }},
      {"optimizer.schedule is set, allowed are none with ftrl, whose rates fall by themselves",
       [](v1::Optimizer* o) {
         o->mutable_ftrl();
         o->mutable_schedule()->mutable_exponential()->set_gamma(0.5f);
       }},
  });
}

TEST(CheckOptimizer, NamesTheScheduleFieldThatIsIllegal) {
  const std::string updates = ", allowed are whole numbers in [1, 281474976710656]";
  ExpectAll({
      {"optimizer.schedule.step.every is 0" + updates,
       [](v1::Optimizer* o) { o->mutable_schedule()->mutable_step()->set_gamma(0.5f); }},
      {"optimizer.schedule.step.gamma is 0, allowed are numbers in (0, 1]",
       [](v1::Optimizer* o) { o->mutable_schedule()->mutable_step()->set_every(1); }},
      {"optimizer.schedule.exponential.gamma is 1.5, allowed are numbers in (0, 1]",
       [](v1::Optimizer* o) { o->mutable_schedule()->mutable_exponential()->set_gamma(1.5f); }},
      {"optimizer.schedule.polynomial.updates is -1" + updates,
       [](v1::Optimizer* o) { o->mutable_schedule()->mutable_polynomial()->set_updates(-1); }},
      {"optimizer.schedule.polynomial.power is 65, allowed are numbers in (0, 64], and 0 for 1",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_polynomial()->set_updates(1);
         o->mutable_schedule()->mutable_polynomial()->set_power(65);
       }},
      {"optimizer.schedule.polynomial.end is 2, allowed are numbers in [0, 1]",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_polynomial()->set_updates(1);
         o->mutable_schedule()->mutable_polynomial()->set_end(2);
       }},
      {"optimizer.schedule.cosine.updates is 0" + updates,
       [](v1::Optimizer* o) { o->mutable_schedule()->mutable_cosine(); }},
      {"optimizer.schedule.cosine.end is nan, allowed are numbers in [0, 1]",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_cosine()->set_updates(1);
         o->mutable_schedule()->mutable_cosine()->set_end(kNan);
       }},
      {"optimizer.schedule.cosine.period_factor is -1, allowed are whole numbers in [0, 1024]",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_cosine()->set_updates(1);
         o->mutable_schedule()->mutable_cosine()->set_period_factor(-1);
       }},
      {"optimizer.schedule.one_cycle.updates is 0" + updates,
       [](v1::Optimizer* o) { o->mutable_schedule()->mutable_one_cycle(); }},
      {"optimizer.schedule.one_cycle.rising is 1, allowed are numbers in [0, 1)",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_one_cycle()->set_updates(1);
         o->mutable_schedule()->mutable_one_cycle()->set_rising(1);
       }},
      {"optimizer.schedule.one_cycle.start_divisor is 0.5, allowed are finite numbers >= 1, and 0 "
       "for the default",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_one_cycle()->set_updates(1);
         o->mutable_schedule()->mutable_one_cycle()->set_start_divisor(0.5f);
       }},
      {"optimizer.schedule.one_cycle.end_divisor is inf, allowed are finite numbers >= 1, and 0 "
       "for the default",
       [](v1::Optimizer* o) {
         o->mutable_schedule()->mutable_one_cycle()->set_updates(1);
         o->mutable_schedule()->mutable_one_cycle()->set_end_divisor(kInfinity);
       }},
      {"optimizer.schedule.warmup_updates is -1, allowed are whole numbers in [0, 281474976710656]",
       [](v1::Optimizer* o) { o->mutable_schedule()->set_warmup_updates(-1); }},
      {"optimizer.schedule.warmup_start is 1.5, allowed are numbers in [0, 1]",
       [](v1::Optimizer* o) { o->mutable_schedule()->set_warmup_start(1.5f); }},
  });
}

TEST(CheckOptimizer, TakesEveryKindWithItsDefaultsAndTheOptionsTogether) {
  ExpectAll({
      {"", [](v1::Optimizer*) {}},
      {"", [](v1::Optimizer* o) { o->mutable_momentum(); }},
      {"", [](v1::Optimizer* o) { o->mutable_adam(); }},
      {"", [](v1::Optimizer* o) { o->mutable_adagrad(); }},
      {"", [](v1::Optimizer* o) { o->mutable_adadelta(); }},
      {"", [](v1::Optimizer* o) { o->mutable_rmsprop(); }},
      {"", [](v1::Optimizer* o) { o->mutable_adamax(); }},
      {"", [](v1::Optimizer* o) { o->mutable_nadam(); }},
      {"", [](v1::Optimizer* o) { o->mutable_ftrl(); }},
      {"", [](v1::Optimizer* o) { o->mutable_lion(); }},
      {"",
       [](v1::Optimizer* o) {
         o->set_clip_value(1);
         o->set_l1(1e-5f);
         o->set_l2(1e-4f);
         o->set_weight_decay(5);
         o->set_accumulate_rounds(4);
         o->mutable_schedule()->set_warmup_updates(100);
         o->mutable_schedule()->mutable_one_cycle()->set_updates(1000);
       }},
  });
}

}  // namespace
}  // namespace parley
