#include "nn/init.h"

#include <vector>

#include "absl/types/span.h"
#include "base/initializer.h"

namespace parley::nn {

void InitializeParameters(Module* module, uint64_t seed) {
  for (const Parameter& parameter : module->parameters()) {
    const Tensor& value = parameter.variable.value();
    std::vector<float> values(static_cast<size_t>(value.num_elements()));
    Initialize(parameter.initializer, seed, parameter.name, 0, absl::MakeSpan(values));
    value.backend()->CopyFromHost(values.data(), value);
  }
}

}  // namespace parley::nn
