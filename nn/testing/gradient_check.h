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

// Expects that the gradients of `function` with respect to all `inputs`, CPU parameters, agree with
// central differences of a random weighting of its float64 outputs. An input is float64, or float32
// where a function casts it to float64 before it computes (a layer's parameter); a float32 one is
// rounded to multiples of 2^-13 first, so that a step from it is exact.
void ExpectGradientsAgree(const std::function<Variable(const Inputs&)>& function,
                          const Inputs& inputs, uint64_t seed);

// CPU parameters, float64, the same for the same seed:
// of values uniform in [-2, -0.1] and [0.1, 2], so no step crosses 0;
Variable RandomParameter(const Shape& shape, uint64_t seed);
// uniform in [0.5, 2];
Variable PositiveParameter(const Shape& shape, uint64_t seed);
// at least 0.1 apart from each other and 0.05 from 0, in random order, for functions with a kink
// where they meet.
Variable SpreadParameter(const Shape& shape, uint64_t seed);

// Tests of gradients at random sizes and values, new ones on each run; a failure names the seed.
class GradientTest : public testing::Test {
 protected:
  GradientTest() : seed_(std::random_device()()), random_(seed_) {}

  uint64_t seed() const { return seed_; }
  // Uniform in 1..most.
  int64_t Size(int64_t most) { return 1 + static_cast<int64_t>(random_() % most); }
  // Uniform in 0..most: 0 is a dimension, or a choice.
  int64_t UpTo(int64_t most) { return Size(most + 1) - 1; }

  // Parameters as above, each with values of its own.
  Variable Random(const Shape& shape) { return RandomParameter(shape, random_()); }
  Variable Positive(const Shape& shape) { return PositiveParameter(shape, random_()); }
  Variable Spread(const Shape& shape) { return SpreadParameter(shape, random_()); }

  // Shapes of rank 0 to 3 with all kinds of dimension: random ones, 1 and 0 at either end.
  std::vector<Shape> Shapes();
  // Those of a rank of at least 1.
  std::vector<Shape> ShapesOfRows();

  void Check(const std::function<Variable(const Inputs&)>& function, const Inputs& inputs);

 private:
  const uint64_t seed_;
  std::mt19937 random_;
};

}  // namespace parley::nn

#endif  // PARLEY_NN_TESTING_GRADIENT_CHECK_H_
