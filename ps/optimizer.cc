#include "ps/optimizer.h"

#include "absl/status/status.h"
#include "ps/optimizers/adam.h"
#include "ps/optimizers/momentum.h"
#include "ps/optimizers/sgd.h"

namespace parley {

absl::StatusOr<std::unique_ptr<Optimizer>> NewOptimizer(const v1::Optimizer& spec) {
  switch (spec.kind_case()) {
    case v1::Optimizer::kSgd:
      return NewSgd(spec.learning_rate());
    case v1::Optimizer::kMomentum:
      return NewMomentum(
          {spec.learning_rate(), spec.momentum().momentum(), spec.momentum().nesterov()});
    case v1::Optimizer::kAdam: {
      AdamConfig config;
      config.learning_rate = spec.learning_rate();
      if (spec.adam().beta1() != 0) config.beta1 = spec.adam().beta1();
      if (spec.adam().beta2() != 0) config.beta2 = spec.adam().beta2();
      if (spec.adam().epsilon() != 0) config.epsilon = spec.adam().epsilon();
      return NewAdam(config);
    }
    default:
      break;
  }
  return absl::InvalidArgumentError("no optimizer, or one this version does not know");
}

}  // namespace parley
