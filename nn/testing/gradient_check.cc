#include "nn/testing/gradient_check.h"

#include <algorithm>
#include <cmath>

#include "base/philox.h"
#include "nn/functions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {

void ExpectGradientsAgree(const std::function<Variable(const Inputs&)>& function, Inputs inputs,
                          uint64_t seed) {
  constexpr float kStep = 1e-2f;
  const Variable y = function(inputs);
  const Tensor weights(y.backend(), y.shape());
  for (int64_t i = 0; i < weights.num_elements(); ++i) {
    weights.data()[i] = PhiloxNormal(seed, 1, static_cast<uint64_t>(i));
  }
  const auto weigh = [&]() {
    const Tensor out = function(inputs).value();
    double sum = 0;
    for (int64_t i = 0; i < out.num_elements(); ++i) {
      sum += static_cast<double>(out.data()[i]) * static_cast<double>(weights.data()[i]);
    }
    return sum / static_cast<double>(out.num_elements());
  };
  for (Variable& input : inputs) input.ClearGradient();
  Backward(Mean(Multiply(y, Variable::Input(weights))));
  for (size_t which = 0; which < inputs.size(); ++which) {
    const Tensor& value = inputs[which].value();
    const Tensor& gradient = inputs[which].gradient();
    for (int64_t i = 0; i < value.num_elements(); ++i) {
      float* const at = value.data() + i;
      const float before = *at;
      *at = before + kStep;
      const double above = weigh();
      *at = before - kStep;
      const double below = weigh();
      *at = before;
      const double numeric = (above - below) / (2 * static_cast<double>(kStep));
      EXPECT_NEAR(gradient.data()[i], numeric, 2e-3 + 1e-2 * std::fabs(numeric))
          << "input " << which << ", element " << i << ", seed " << seed;
    }
  }
}

Variable RandomParameter(const Shape& shape, uint64_t seed) {
  const Tensor value(CpuBackend(), shape);
  for (int64_t i = 0; i < value.num_elements(); ++i) {
    value.data()[i] = PhiloxNormal(seed, 7, static_cast<uint64_t>(i));
  }
  return Variable::Parameter(value);
}

Variable SpreadParameter(const Shape& shape, uint64_t seed) {
  Variable variable = RandomParameter(shape, seed);
  const int64_t size = variable.value().num_elements();
  for (int64_t i = 0; i < size; ++i) {
    const int64_t place = (i * 7 + static_cast<int64_t>(seed % 5)) % std::max<int64_t>(1, size);
    variable.value().data()[i] = 0.1f * (static_cast<float>(place - size / 2) + 0.5f);
  }
  return variable;
}

}  // namespace parley::nn
