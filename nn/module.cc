#include "nn/module.h"

#include "glog/logging.h"

namespace parley::nn {

Variable Module::ForwardInputs(absl::Span<const Variable> inputs, const ForwardContext& context) {
  CHECK_EQ(inputs.size(), 1u) << "a module of one input";
  return Forward(inputs[0], context);
}

}  // namespace parley::nn
