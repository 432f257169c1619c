#include "nn/loss.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

TEST_F(GradientTest, OfLosses) {
  const int64_t rows = Size(4), classes = 1 + Size(4);
  std::vector<int32_t> labels;
  std::vector<float> targets;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(static_cast<int32_t>(i % classes));
  for (int64_t i = 0; i < rows * classes; ++i) targets.push_back(0.3f * static_cast<float>(i));
  Check([&](const Inputs& in) { return SoftmaxCrossEntropyLoss(in[0], labels); },
        {RandomParameter({rows, classes}, seed())});
  Check([&](const Inputs& in) { return MeanSquaredError(in[0], targets); },
        {RandomParameter({rows, classes}, seed())});
}

TEST(LossTest, CountsTheRowsThatAreRight) {
  const Tensor logits(CpuBackend(), {3, 2});
  const std::vector<float> values = {1, 2, 5, 5, 0, -1};
  CpuBackend()->CopyFromHost(values.data(), logits);
  EXPECT_EQ(CountCorrect(logits, {1, 0, 1}), 2);
}

TEST(LossTest, IsTheMeanOverTheBatch) {
  const Tensor logits(CpuBackend(), {2, 2});
  const std::vector<float> values = {0, 0, 0, std::log(3.0f)};
  CpuBackend()->CopyFromHost(values.data(), logits);
  const Variable x = Variable::Input(logits);
  EXPECT_NEAR(SoftmaxCrossEntropyLoss(x, {0, 1}).value().data()[0],
              -(std::log(0.5) + std::log(0.75)) / 2, 1e-6);
  EXPECT_NEAR(MeanSquaredError(x, {1, 0, 0, std::log(3.0f) - 3}).value().data()[0], 10.0 / 4, 1e-6);
}

}  // namespace
}  // namespace parley::nn
