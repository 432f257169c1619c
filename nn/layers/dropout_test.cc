#include "nn/layers/dropout.h"

#include <vector>

#include "gtest/gtest.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

std::vector<float> Drop(const std::string& name, const ForwardContext& context) {
  const Tensor ones(CpuBackend(), {1000});
  CpuBackend()->Fill(1, ones);
  const Tensor y = NewDropout(name, 0.25)->Forward(Variable::Input(ones), context).value();
  return {y.span().begin(), y.span().end()};
}

ForwardContext Training(uint64_t seed, int64_t step) {
  ForwardContext context;
  context.training = true;
  context.seed = seed;
  context.step = step;
  return context;
}

TEST(DropoutTest, EvaluationKeepsAll) {
  EXPECT_EQ(Drop("a", ForwardContext()), std::vector<float>(1000, 1));
}

TEST(DropoutTest, AStepDropsTheSameAgainAndEachStepSeedAndLayerItsOwn) {
  const std::vector<float> first = Drop("a", Training(1, 5));
  EXPECT_EQ(first, Drop("a", Training(1, 5)));
  EXPECT_NE(first, Drop("a", Training(1, 6)));
  EXPECT_NE(first, Drop("a", Training(2, 5)));
  EXPECT_NE(first, Drop("b", Training(1, 5)));
}

// Of 1000 at rate 0.25, 14 standard deviations around the mean.
TEST(DropoutTest, KeepsItsShareAndTheMean) {
  int dropped = 0;
  for (const float value : Drop("a", Training(1, 0))) {
    if (value == 0) {
      ++dropped;
    } else {
      EXPECT_FLOAT_EQ(value, 1 / 0.75f);
    }
  }
  EXPECT_GT(dropped, 50);
  EXPECT_LT(dropped, 450);
}

}  // namespace
}  // namespace parley::nn
