#include "worker/optimizer_flags.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "gflags/gflags.h"
#include "net/check_optimizer.h"
#include "worker/custom_flag.h"

DEFINE_string(
    optimizer, "adam",
    "sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, amsgrad, adamw, adamax, "
    "nadam, ftrl, lion, lamb, lars, or custom: one that the ps tasks' program brings itself.");
DEFINE_string(custom_optimizer, "",
              "The name under which --optimizer=custom is registered at the ps tasks, and its "
              "options: name,option=1.5,other=2.");
DEFINE_double(
    learning_rate, 0,
    "0: 0.001 with adam, amsgrad, adamw, lamb and rmsprop, 0.002 with adamax and nadam, 0.0001 "
    "with lion, 0.01 with adagrad, 1 with adadelta and lars, 0.05 otherwise.");
DEFINE_double(momentum, 0.9,
              "Of momentum, nesterov, lars and, where it is given, rmsprop; in [0, 1).");
DEFINE_double(beta1, 0, "Of the adams, lamb and lion; in [0, 1). 0: 0.9.");
DEFINE_double(beta2, 0, "Of the adams, lamb and lion; in [0, 1). 0: 0.999, with lion 0.99.");
DEFINE_double(epsilon, 0,
              "Of adagrad, adadelta, rmsprop, lamb and the adams. 0: the optimizer's own.");
DEFINE_double(rho, 0,
              "How slowly adadelta and rmsprop forget; in [0, 1). 0: 0.9 with adadelta, 0.99 with "
              "rmsprop.");
DEFINE_double(trust, 0, "The coefficient of lars. 0: 0.001.");
DEFINE_bool(centered, false, "rmsprop divides by the deviation from the gradient's mean.");
DEFINE_double(l1, 0, "Penalty on the sum of the parameters' magnitudes; ftrl's own with it.");
DEFINE_double(l2, 0, "Penalty on half the sum of their squares; ftrl's own with it.");
DEFINE_double(weight_decay, 0,
              "Decay that is no part of the gradient (lamb and lars have it in their step): each "
              "update takes the learning rate's times "
              "this share of a parameter away. 0.01 with adamw, where it is not given.");
DEFINE_double(clip_value, 0, "Gradients are cut to [-clip_value, clip_value]. 0: not.");
DEFINE_double(ema_decay, 0,
              "Keep a moving average of the parameters beside them, which forgets 1 - ema_decay of "
              "itself in each update; in [0, 1). 0: none.");
DEFINE_double(
    clip_norm, 0,
    "Gradients are shortened so that the norm of all of them together is at most this. 0: "
    "not. Needs --policy=sync, as lamb and lars do.");
DEFINE_int32(accumulate_rounds, 1, "Update in every so many rounds, with their mean gradient.");
DEFINE_string(lr_schedule, "constant",
              "How the learning rate goes on: constant, step, exponential, polynomial, cosine or "
              "one_cycle.");
DEFINE_int64(lr_updates, 0, "How many updates polynomial, the first cosine and one_cycle last.");
DEFINE_int64(lr_every, 0, "step: multiply by --lr_gamma in every so many updates.");
DEFINE_double(lr_gamma, 0.1, "The factor of step, and of each update with exponential; in (0, 1].");
DEFINE_double(lr_end, 0, "Where polynomial and cosine end, as a share of the learning rate.");
DEFINE_double(lr_power, 1, "Of polynomial; in (0, 64].");
DEFINE_int32(lr_period_factor, 0,
             "cosine restarts, each time for so many times as many updates. 0: no restart.");
DEFINE_int64(lr_warmup, 0, "Updates in which the learning rate rises, before --lr_schedule.");
DEFINE_double(lr_warmup_start, 0, "Where it rises from, as a share of it; in [0, 1].");

namespace parley {
namespace {

bool WasGiven(const char* flag) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

absl::Status Invalid(absl::string_view message) { return absl::InvalidArgumentError(message); }

// What float32 cannot hold becomes infinite, which CheckOptimizer refuses.
float Float(double value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (value > kLargest) return kInfinity;
  if (value < -kLargest) return -kInfinity;
  return static_cast<float>(value);
}

// Fills in the numbers of Adam and its relatives.
template <typename Message>
void SetBetas(Message* message) {
  message->set_beta1(Float(FLAGS_beta1));
  message->set_beta2(Float(FLAGS_beta2));
}
template <typename Message>
void SetAdam(Message* message) {
  SetBetas(message);
  message->set_epsilon(Float(FLAGS_epsilon));
}

struct NamedOptimizer {
  const char* name;
  double learning_rate;
  std::vector<absl::string_view> flags;  // that only some optimizers have
  void (*set)(v1::Optimizer*);
};

const std::vector<NamedOptimizer>& NamedOptimizers() {
  static const auto* const optimizers = new std::vector<NamedOptimizer>{
      {"sgd", 0.05, {}, [](v1::Optimizer* o) { o->mutable_sgd(); }},
      {"momentum",
       0.05,
       {"momentum"},
       [](v1::Optimizer* o) { o->mutable_momentum()->set_momentum(Float(FLAGS_momentum)); }},
      {"nesterov",
       0.05,
       {"momentum"},
       [](v1::Optimizer* o) {
         o->mutable_momentum()->set_momentum(Float(FLAGS_momentum));
         o->mutable_momentum()->set_nesterov(true);
       }},
      {"adagrad",
       0.01,
       {"epsilon"},
       [](v1::Optimizer* o) { o->mutable_adagrad()->set_epsilon(Float(FLAGS_epsilon)); }},
      {"adadelta",
       1,
       {"epsilon", "rho"},
       [](v1::Optimizer* o) {
         o->mutable_adadelta()->set_rho(Float(FLAGS_rho));
         o->mutable_adadelta()->set_epsilon(Float(FLAGS_epsilon));
       }},
      {"rmsprop",
       0.001,
       {"momentum", "epsilon", "rho", "centered"},
       [](v1::Optimizer* o) {
         o->mutable_rmsprop()->set_alpha(Float(FLAGS_rho));
         o->mutable_rmsprop()->set_epsilon(Float(FLAGS_epsilon));
         if (WasGiven("momentum")) o->mutable_rmsprop()->set_momentum(Float(FLAGS_momentum));
         o->mutable_rmsprop()->set_centered(FLAGS_centered);
       }},
      {"adam",
       0.001,
       {"beta1", "beta2", "epsilon"},
       [](v1::Optimizer* o) { SetAdam(o->mutable_adam()); }},
      {"amsgrad",
       0.001,
       {"beta1", "beta2", "epsilon"},
       [](v1::Optimizer* o) {
         SetAdam(o->mutable_adam());
         o->mutable_adam()->set_amsgrad(true);
       }},
      {"adamw",
       0.001,
       {"beta1", "beta2", "epsilon"},
       [](v1::Optimizer* o) {
         SetAdam(o->mutable_adam());
         if (!WasGiven("weight_decay")) o->set_weight_decay(0.01f);
       }},
      {"adamax",
       0.002,
       {"beta1", "beta2", "epsilon"},
       [](v1::Optimizer* o) { SetAdam(o->mutable_adamax()); }},
      {"nadam",
       0.002,
       {"beta1", "beta2", "epsilon"},
       [](v1::Optimizer* o) { SetAdam(o->mutable_nadam()); }},
      {"ftrl",
       0.05,
       {},
       [](v1::Optimizer* o) {
         o->mutable_ftrl()->set_l1(Float(FLAGS_l1));
         o->mutable_ftrl()->set_l2(Float(FLAGS_l2));
         o->clear_l1();
         o->clear_l2();
       }},
      {"lion", 0.0001, {"beta1", "beta2"}, [](v1::Optimizer* o) { SetBetas(o->mutable_lion()); }},
      {"lamb",
       0.001,
       {"beta1", "beta2", "epsilon"},
       [](v1::Optimizer* o) {
         SetAdam(o->mutable_lamb());
         o->mutable_lamb()->set_weight_decay(Float(FLAGS_weight_decay));
         o->clear_weight_decay();
       }},
      {"lars",
       1,
       {"momentum", "trust"},
       [](v1::Optimizer* o) {
         o->mutable_lars()->set_momentum(Float(FLAGS_momentum));
         o->mutable_lars()->set_weight_decay(Float(FLAGS_weight_decay));
         o->mutable_lars()->set_coefficient(Float(FLAGS_trust));
         o->clear_weight_decay();
       }},
      {"custom", 0.05, {"custom_optimizer"}, [](v1::Optimizer* o) { o->mutable_custom(); }},
  };
  return *optimizers;
}

struct NamedSchedule {
  const char* name;
  std::vector<absl::string_view> flags;
  const char* needed;  // a flag without which it means nothing, or ""
  void (*set)(v1::Schedule*);
};

const std::vector<NamedSchedule>& NamedSchedules() {
  static const auto* const schedules = new std::vector<NamedSchedule>{
      {"constant", {}, "", [](v1::Schedule*) {}},
      {"step",
       {"lr_every", "lr_gamma"},
       "lr_every",
       [](v1::Schedule* s) {
         s->mutable_step()->set_every(FLAGS_lr_every);
         s->mutable_step()->set_gamma(Float(FLAGS_lr_gamma));
       }},
      {"exponential",
       {"lr_gamma"},
       "lr_gamma",
       [](v1::Schedule* s) { s->mutable_exponential()->set_gamma(Float(FLAGS_lr_gamma)); }},
      {"polynomial",
       {"lr_updates", "lr_end", "lr_power"},
       "lr_updates",
       [](v1::Schedule* s) {
         s->mutable_polynomial()->set_updates(FLAGS_lr_updates);
         s->mutable_polynomial()->set_power(Float(FLAGS_lr_power));
         s->mutable_polynomial()->set_end(Float(FLAGS_lr_end));
       }},
      {"cosine",
       {"lr_updates", "lr_end", "lr_period_factor"},
       "lr_updates",
       [](v1::Schedule* s) {
         s->mutable_cosine()->set_updates(FLAGS_lr_updates);
         s->mutable_cosine()->set_end(Float(FLAGS_lr_end));
         s->mutable_cosine()->set_period_factor(FLAGS_lr_period_factor);
       }},
      {"one_cycle",
       {"lr_updates"},
       "lr_updates",
       [](v1::Schedule* s) { s->mutable_one_cycle()->set_updates(FLAGS_lr_updates); }},
  };
  return *schedules;
}

template <typename Named>
absl::StatusOr<const Named*> Find(const std::vector<Named>& all, const char* flag,
                                  const std::string& name) {
  std::vector<absl::string_view> names;
  for (const Named& each : all) {
    if (name == each.name) return &each;
    names.push_back(each.name);
  }
  return Invalid(absl::StrCat("--", flag, "=", name, " is none of ", absl::StrJoin(names, ", ")));
}

// Refuses a flag that another choice of `flag` has, and this one not.
template <typename Named>
absl::Status CheckUse(const std::vector<Named>& all, const Named& chosen, const char* flag) {
  for (const Named& each : all) {
    for (const absl::string_view other : each.flags) {
      if (std::count(chosen.flags.begin(), chosen.flags.end(), other) == 0 &&
          WasGiven(std::string(other).c_str())) {
        return Invalid(absl::StrCat("--", other, " is not for --", flag, "=", chosen.name));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status SetSchedule(v1::Optimizer* optimizer) {
  PARLEY_ASSIGN_OR_RETURN(const NamedSchedule* const chosen,
                          Find(NamedSchedules(), "lr_schedule", FLAGS_lr_schedule));
  PARLEY_RETURN_IF_ERROR(CheckUse(NamedSchedules(), *chosen, "lr_schedule"));
  if (*chosen->needed != '\0' && !WasGiven(chosen->needed)) {
    return Invalid(absl::StrCat("--lr_schedule=", chosen->name, " needs --", chosen->needed));
  }
  if (WasGiven("lr_warmup_start") && !WasGiven("lr_warmup")) {
    return Invalid("--lr_warmup_start needs --lr_warmup");
  }
  v1::Schedule schedule;
  chosen->set(&schedule);
  schedule.set_warmup_updates(FLAGS_lr_warmup);
  schedule.set_warmup_start(Float(FLAGS_lr_warmup_start));
  if (schedule.ByteSizeLong() > 0) *optimizer->mutable_schedule() = schedule;
  return absl::OkStatus();
}

}  // namespace

FlagGroup OptimizerFlagGroup() {
  return {"The optimizer",
          {"optimizer",
           "custom_optimizer",
           "learning_rate",
           "momentum",
           "beta1",
           "beta2",
           "epsilon",
           "rho",
           "trust",
           "centered",
           "l1",
           "l2",
           "weight_decay",
           "clip_value",
           "clip_norm",
           "ema_decay",
           "accumulate_rounds",
           "lr_schedule",
           "lr_updates",
           "lr_every",
           "lr_gamma",
           "lr_end",
           "lr_power",
           "lr_period_factor",
           "lr_warmup",
           "lr_warmup_start"}};
}

absl::StatusOr<v1::Optimizer> OptimizerFromFlags() {
  PARLEY_ASSIGN_OR_RETURN(const NamedOptimizer* const chosen,
                          Find(NamedOptimizers(), "optimizer", FLAGS_optimizer));
  PARLEY_RETURN_IF_ERROR(CheckUse(NamedOptimizers(), *chosen, "optimizer"));
  if (!(FLAGS_momentum >= 0 && FLAGS_momentum < 1)) return Invalid("--momentum is not in [0, 1)");
  if (!(FLAGS_learning_rate >= 0 && FLAGS_learning_rate <= std::numeric_limits<float>::max())) {
    return Invalid("--learning_rate is not a finite number >= 0");
  }
  if (FLAGS_accumulate_rounds < 1) return Invalid("--accumulate_rounds is not positive");
  v1::Optimizer optimizer;
  optimizer.set_learning_rate(
      Float(FLAGS_learning_rate > 0 ? FLAGS_learning_rate : chosen->learning_rate));
  optimizer.set_l1(Float(FLAGS_l1));
  optimizer.set_l2(Float(FLAGS_l2));
  optimizer.set_weight_decay(Float(FLAGS_weight_decay));
  optimizer.set_clip_value(Float(FLAGS_clip_value));
  optimizer.set_clip_norm(Float(FLAGS_clip_norm));
  optimizer.set_ema_decay(Float(FLAGS_ema_decay));
  if (FLAGS_accumulate_rounds > 1) optimizer.set_accumulate_rounds(FLAGS_accumulate_rounds);
  chosen->set(&optimizer);
  if (optimizer.has_custom()) {
    PARLEY_ASSIGN_OR_RETURN(*optimizer.mutable_custom(),
                            ParseCustomFlag("custom_optimizer", FLAGS_custom_optimizer));
  }
  PARLEY_RETURN_IF_ERROR(SetSchedule(&optimizer));
  PARLEY_RETURN_IF_ERROR(CheckOptimizer(optimizer));
  return optimizer;
}

}  // namespace parley
