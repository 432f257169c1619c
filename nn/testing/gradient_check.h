#ifndef PARLEY_NN_TESTING_GRADIENT_CHECK_H_
#define PARLEY_NN_TESTING_GRADIENT_CHECK_H_

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "nn/variable.h"

namespace parley::nn {

using Inputs = std::vector<Variable>;

// Expects that the gradients of `function` with respect to all `inputs` agree with central
// differences: of a random weighting of its outputs, summed in float64, with steps that float32
// resolves. Inputs are CPU parameters.
void ExpectGradientsAgree(const std::function<Variable(const Inputs&)>& function, Inputs inputs,
                          uint64_t seed);

// A CPU parameter of standard normal values.
Variable RandomParameter(const Shape& shape, uint64_t seed);

// One whose values are apart from each other and from 0 by more than a step, for functions with a
// kink where they meet.
Variable SpreadParameter(const Shape& shape, uint64_t seed);

// Tests of gradients at random sizes and values, new ones on each run; a failure names the seed.
class GradientTest : public testing::Test {
 protected:
  GradientTest() : seed_(std::random_device()()), random_(seed_) {}

  uint64_t seed() const { return seed_; }
  // Uniform in 1..most.
  int64_t Size(int64_t most) { return 1 + static_cast<int64_t>(random_() % most); }
  void Check(const std::function<Variable(const Inputs&)>& function, const Inputs& inputs) {
    SCOPED_TRACE(testing::Message() << "seed " << seed_);
    ExpectGradientsAgree(function, inputs, seed_);
  }

 private:
  const uint64_t seed_;
  std::mt19937 random_;
};

}  // namespace parley::nn

#endif  // PARLEY_NN_TESTING_GRADIENT_CHECK_H_
