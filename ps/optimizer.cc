#include "ps/optimizer.h"

#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "ps/optimizers/accumulated.h"
#include "ps/optimizers/adadelta.h"
#include "ps/optimizers/adagrad.h"
#include "ps/optimizers/adam.h"
#include "ps/optimizers/adamax.h"
#include "ps/optimizers/averaged.h"
#include "ps/optimizers/ftrl.h"
#include "ps/optimizers/lamb.h"
#include "ps/optimizers/lars.h"
#include "ps/optimizers/lion.h"
#include "ps/optimizers/momentum.h"
#include "ps/optimizers/nadam.h"
#include "ps/optimizers/norm_clipped.h"
#include "ps/optimizers/regularized.h"
#include "ps/optimizers/rmsprop.h"
#include "ps/optimizers/scheduled.h"
#include "ps/optimizers/sgd.h"

namespace parley {
namespace {

// Zero stands for the default.
void Set(float value, float* field) {
  if (value != 0) *field = value;
}

absl::StatusOr<std::unique_ptr<Optimizer>> NewCustom(const v1::Custom& custom,
                                                     const OptimizerRegistry& registry) {
  const auto found = registry.find(custom.name());
  if (found == registry.end()) {
    const auto name = [](std::string* out, const auto& entry) { out->append(entry.first); };
    return absl::InvalidArgumentError(absl::StrCat(
        "optimizer.custom.name is ", custom.name(), ", ",
        registry.empty() ? "but this program has registered none"
                         : absl::StrCat("allowed are ", absl::StrJoin(registry, ", ", name))));
  }
  absl::StatusOr<std::unique_ptr<Optimizer>> made =
      found->second({custom.options().begin(), custom.options().end()});
  if (!made.ok()) return Annotate(made.status(), absl::StrCat("optimizer ", custom.name()));
  return made;
}

absl::StatusOr<std::unique_ptr<Optimizer>> NewKind(const v1::Optimizer& spec,
                                                   const OptimizerRegistry& registry) {
  switch (spec.kind_case()) {
    case v1::Optimizer::kSgd:
      return NewSgd();
    case v1::Optimizer::kMomentum:
      return NewMomentum({spec.momentum().momentum(), spec.momentum().nesterov()});
    case v1::Optimizer::kAdam: {
      AdamConfig config;
      Set(spec.adam().beta1(), &config.beta1);
      Set(spec.adam().beta2(), &config.beta2);
      Set(spec.adam().epsilon(), &config.epsilon);
      config.amsgrad = spec.adam().amsgrad();
      return NewAdam(config);
    }
    case v1::Optimizer::kAdagrad: {
      AdagradConfig config;
      config.initial_accumulator = spec.adagrad().initial_accumulator();
      config.rate_decay = spec.adagrad().rate_decay();
      Set(spec.adagrad().epsilon(), &config.epsilon);
      return NewAdagrad(config);
    }
    case v1::Optimizer::kAdadelta: {
      AdadeltaConfig config;
      Set(spec.adadelta().rho(), &config.rho);
      Set(spec.adadelta().epsilon(), &config.epsilon);
      return NewAdadelta(config);
    }
    case v1::Optimizer::kRmsprop: {
      RmspropConfig config;
      Set(spec.rmsprop().alpha(), &config.alpha);
      Set(spec.rmsprop().epsilon(), &config.epsilon);
      config.momentum = spec.rmsprop().momentum();
      config.centered = spec.rmsprop().centered();
      return NewRmsprop(config);
    }
    case v1::Optimizer::kAdamax: {
      AdamaxConfig config;
      Set(spec.adamax().beta1(), &config.beta1);
      Set(spec.adamax().beta2(), &config.beta2);
      Set(spec.adamax().epsilon(), &config.epsilon);
      return NewAdamax(config);
    }
    case v1::Optimizer::kNadam: {
      NadamConfig config;
      Set(spec.nadam().beta1(), &config.beta1);
      Set(spec.nadam().beta2(), &config.beta2);
      Set(spec.nadam().epsilon(), &config.epsilon);
      Set(spec.nadam().momentum_decay(), &config.momentum_decay);
      return NewNadam(config);
    }
    case v1::Optimizer::kFtrl: {
      FtrlConfig config;
      Set(spec.ftrl().beta(), &config.beta);
      config.l1 = spec.ftrl().l1();
      config.l2 = spec.ftrl().l2();
      return NewFtrl(config);
    }
    case v1::Optimizer::kLion: {
      LionConfig config;
      Set(spec.lion().beta1(), &config.beta1);
      Set(spec.lion().beta2(), &config.beta2);
      return NewLion(config);
    }
    case v1::Optimizer::kLamb: {
      LambConfig config;
      Set(spec.lamb().beta1(), &config.beta1);
      Set(spec.lamb().beta2(), &config.beta2);
      Set(spec.lamb().epsilon(), &config.epsilon);
      config.weight_decay = spec.lamb().weight_decay();
      return NewLamb(config);
    }
    case v1::Optimizer::kLars: {
      LarsConfig config;
      config.momentum = spec.lars().momentum();
      config.weight_decay = spec.lars().weight_decay();
      Set(spec.lars().coefficient(), &config.coefficient);
      return NewLars(config);
    }
    case v1::Optimizer::kCustom:
      return NewCustom(spec.custom(), registry);
    case v1::Optimizer::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("no optimizer, or one this version does not know");
}

}  // namespace

void Optimizer::UpdateTiles(const UpdateContext& context, GradientTiles& tiles,
                            absl::Span<const float> values, absl::Span<float> new_values,
                            absl::Span<float* const> slots) const {
  absl::InlinedVector<float*, 4> tile_slots(slots.begin(), slots.end());
  size_t begin = 0;
  for (absl::Span<const float> g = tiles.Next(); !g.empty(); g = tiles.Next()) {
    Update(context, g, {values.data() + begin, g.size()}, {new_values.data() + begin, g.size()},
           tile_slots);
    for (float*& slot : tile_slots) slot += g.size();
    begin += g.size();
  }
}

absl::StatusOr<std::unique_ptr<Optimizer>> NewOptimizer(const v1::Optimizer& spec,
                                                        const OptimizerRegistry& registry) {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Optimizer> optimizer, NewKind(spec, registry));
  if (spec.clip_value() > 0 || spec.l1() > 0 || spec.l2() > 0 || spec.weight_decay() > 0) {
    optimizer = NewRegularized({spec.clip_value(), spec.l1(), spec.l2(), spec.weight_decay()},
                               std::move(optimizer));
  }
  if (spec.clip_norm() > 0) optimizer = NewNormClipped(spec.clip_norm(), std::move(optimizer));
  if (spec.ema_decay() > 0) optimizer = NewAveraged(spec.ema_decay(), std::move(optimizer));
  optimizer = NewScheduled(spec.learning_rate(), spec.schedule(), std::move(optimizer));
  if (spec.accumulate_rounds() > 1) {
    optimizer = NewAccumulated(spec.accumulate_rounds(), std::move(optimizer));
  }
  return optimizer;
}

}  // namespace parley
