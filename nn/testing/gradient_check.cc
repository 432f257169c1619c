#include "nn/testing/gradient_check.h"

#include <algorithm>
#include <cmath>

#include "base/philox.h"
#include "gtest/gtest.h"
#include "nn/functions.h"

namespace parley::nn {

void ExpectGradientsAgree(const std::function<Variable(const std::vector<Variable>&)>& function,
                          std::vector<Variable> inputs, uint64_t seed) {
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

}  // namespace parley::nn
