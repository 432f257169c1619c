#include "nn/reductions.h"

#include <cmath>

#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

using ReductionsTest = GradientTest;

TEST_F(ReductionsTest, Gradients) {
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(shape.ToString());
    Check([](const Inputs& in) { return Sum(in[0]); }, {Random(shape)});
    Check([](const Inputs& in) { return Mean(in[0]); }, {Random(shape)});
    const int rank = static_cast<int>(shape.rank());
    for (unsigned subset = 0; subset < (1u << rank); ++subset) {
      std::vector<int> axes;
      for (int axis = 0; axis < rank; ++axis) {
        if ((subset >> axis) % 2 == 1) axes.push_back(subset % 3 == 0 ? axis : axis - rank);
      }
      for (const bool keep : {false, true}) {
        Check([&](const Inputs& in) { return Sum(in[0], axes, keep); }, {Random(shape)});
        Check([&](const Inputs& in) { return Mean(in[0], axes, keep); }, {Random(shape)});
      }
    }
  }
}

TEST(SumTest, DropsOrKeepsDimensions) {
  const Tensor x(CpuBackend(), {2, 3, 2});
  for (int i = 0; i < 12; ++i) x.data()[i] = static_cast<float>(i);
  const Variable v = Variable::Input(x);
  EXPECT_EQ(Sum(v, {1}).shape(), (Shape{2, 2}));
  EXPECT_EQ(Sum(v, {1}).value().data()[3], 7 + 9 + 11);
  EXPECT_EQ(Sum(v, {0, -1}, true).shape(), (Shape{1, 3, 1}));
  EXPECT_EQ(Mean(v, {0, -1}, true).value().data()[1], (2 + 3 + 8 + 9) / 4.0f);
  EXPECT_EQ(Sum(v).value().data()[0], 66);
  EXPECT_EQ(Sum(v).shape(), Shape());
}

TEST(SumTest, OfNothingIsZeroAndItsMeanIsUndefined) {
  const Variable nothing = Variable::Input(Tensor(CpuBackend(), {3, 0}));
  EXPECT_EQ(Sum(nothing).value().data()[0], 0);
  EXPECT_TRUE(std::isnan(Mean(nothing).value().data()[0]));
  EXPECT_EQ(Sum(nothing, {1}).value().data()[2], 0);
}

// A float16 mean of numbers whose sum is beyond float16.
TEST(MeanTest, OfNarrowNumbersDoesNotOverflow) {
  const Tensor x(CpuBackend(), {64});
  CpuBackend()->Fill(40000, x);
  const Variable parameter = Variable::Parameter(x);
  const Variable mean = Mean(Cast(parameter, DType::kFloat16));
  EXPECT_EQ(mean.dtype(), DType::kFloat16);
  EXPECT_EQ(Cast(mean, DType::kFloat32).value().data()[0], 40000);
  Backward(mean);
  EXPECT_EQ(parameter.gradient().data()[7], 1.0f / 64);
}

TEST(SumDeathTest, NamesAxesThatAreNotThere) {
  const Variable x = RandomParameter({2, 3}, 1);
  EXPECT_DEATH(Sum(x, {2}), "axis 2 of \\[2, 3\\]");
  EXPECT_DEATH(Sum(x, {0, -2}), "axis -2 of \\[2, 3\\] twice");
}

}  // namespace
}  // namespace parley::nn
