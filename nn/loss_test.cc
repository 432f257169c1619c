#include "nn/loss.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/softmax.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

using LossTest = GradientTest;

Tensor Floats(const Shape& shape, const std::vector<float>& values) {
  const Tensor tensor(CpuBackend(), shape);
  CpuBackend()->CopyFromHost(values.data(), tensor);
  return tensor;
}

TEST_F(LossTest, GradientsOfElementwiseLosses) {
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(shape.ToString());
    const Tensor targets = Random(shape).value();
    std::vector<float> shares;
    for (int64_t i = 0; i < shape.num_elements(); ++i) {
      shares.push_back(0.125f * static_cast<float>(UpTo(8)));
    }
    Check([&](const Inputs& in) { return MeanSquaredError(in[0], targets); }, {Random(shape)});
    Check([&](const Inputs& in) { return MeanSquaredError(in[0], shares); }, {Random(shape)});
    Check([&](const Inputs& in) { return BinaryCrossEntropyLoss(in[0], shares); }, {Random(shape)});
  }
}

TEST_F(LossTest, GradientsOfLossesOverClasses) {
  for (const Shape& shape : ShapesOfRows()) {
    SCOPED_TRACE(shape.ToString());
    std::vector<float> shares;
    for (int64_t i = 0; i < shape.num_elements(); ++i) {
      shares.push_back(i % 3 == 0 ? 0.0f : 0.125f * static_cast<float>(Size(7)));
    }
    Check([&](const Inputs& in) { return KlDivergenceLoss(LogSoftmax(in[0]), shares); },
          {Random(shape)});
    if (shape.back() == 0) continue;  // no label is right
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < shape.rows(); ++i) {
      labels.push_back(static_cast<int32_t>(UpTo(shape.back() - 1)));
    }
    Check([&](const Inputs& in) { return SoftmaxCrossEntropyLoss(in[0], labels); },
          {Random(shape)});
  }
}

TEST(LossValuesTest, AreMeansOverTheBatch) {
  const float log3 = std::log(3.0f);
  const Variable x = Variable::Input(Floats({2, 2}, {0, 0, 0, log3}));
  EXPECT_NEAR(SoftmaxCrossEntropyLoss(x, {0, 1}).value().data()[0],
              -(std::log(0.5) + std::log(0.75)) / 2, 1e-6);
  EXPECT_NEAR(MeanSquaredError(x, {1, 0, 0, log3 - 3}).value().data()[0], 10.0 / 4, 1e-6);
  EXPECT_NEAR(BinaryCrossEntropyLoss(x, {0, 1, 0.5f, 1}).value().data()[0],
              -(3 * std::log(0.5) + std::log(0.75)) / 4, 1e-6);
  const Variable log_half = Variable::Input(Floats({1, 2}, {std::log(0.5f), std::log(0.5f)}));
  EXPECT_NEAR(KlDivergenceLoss(log_half, {0, 1}).value().data()[0], std::log(2.0), 1e-6);
  EXPECT_NEAR(KlDivergenceLoss(log_half, {0.5f, 0.5f}).value().data()[0], 0, 1e-7);
}

TEST(LossValuesTest, SurviveLogitsOfAnySize) {
  const Variable x = Variable::Parameter(Floats({4}, {1000, -1000, 1000, -1000}));
  const Variable loss = BinaryCrossEntropyLoss(x, {1, 0, 0, 1});
  EXPECT_EQ(loss.value().data()[0], 500);
  Backward(loss);
  EXPECT_EQ(x.gradient().data()[0], 0);
  EXPECT_EQ(x.gradient().data()[2], 0.25f);
  EXPECT_EQ(x.gradient().data()[3], -0.25f);
  // A small loss is not rounded away beside large logits.
  const Variable y = Variable::Input(Floats({1}, {20}));
  EXPECT_NEAR(BinaryCrossEntropyLoss(y, {1}).value().data()[0] / std::exp(-20.0), 1, 1e-5);
}

TEST(LossValuesTest, OfNarrowPredictionsAreFloat32) {
  const Variable x = Variable::Parameter(Floats({2, 2}, {0.5f, 1, -1, 2}));
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    const std::vector<float> targets = {0, 1, 0.25f, 0.75f};
    for (const auto& [narrow, wide] : std::vector<std::pair<Variable, Variable>>{
             {SoftmaxCrossEntropyLoss(Cast(x, dtype), {0, 1}), SoftmaxCrossEntropyLoss(x, {0, 1})},
             {MeanSquaredError(Cast(x, dtype), targets), MeanSquaredError(x, targets)},
             {BinaryCrossEntropyLoss(Cast(x, dtype), targets), BinaryCrossEntropyLoss(x, targets)},
             {KlDivergenceLoss(Cast(x, dtype), targets), KlDivergenceLoss(x, targets)}}) {
      ASSERT_EQ(narrow.dtype(), DType::kFloat32);
      EXPECT_EQ(narrow.value().data()[0], wide.value().data()[0]);
      EXPECT_TRUE(narrow.wants_gradient());
    }
  }
}

TEST(LossValuesTest, OfNothingIsUndefined) {
  const Variable nothing = Variable::Input(Tensor(CpuBackend(), {0, 3}));
  EXPECT_TRUE(
      std::isnan(SoftmaxCrossEntropyLoss(nothing, absl::Span<const int32_t>()).value().data()[0]));
  EXPECT_TRUE(std::isnan(MeanSquaredError(nothing, absl::Span<const float>()).value().data()[0]));
}

TEST(LossDeathTest, NamesWhatDoesNotFit) {
  const Variable x = RandomParameter({2, 3}, 1);
  EXPECT_DEATH(SoftmaxCrossEntropyLoss(x, {0}), "1 labels for logits \\[2, 3\\]");
  EXPECT_DEATH(SoftmaxCrossEntropyLoss(x, {0, 3}), "label 3 of 3 classes");
  EXPECT_DEATH(MeanSquaredError(x, {0, 3}), "targets \\[2\\] for predictions \\[2, 3\\]");
}

}  // namespace
}  // namespace parley::nn
