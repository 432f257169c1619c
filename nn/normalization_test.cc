#include "nn/normalization.h"

#include <cmath>

#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/reductions.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

// Beside a variance of at least 0.0025, that of two values 0.1 apart, it decides nothing, and where
// the variance is 0 it keeps derivatives bounded.
constexpr double kEpsilon = 1e-2;

using NormalizationTest = GradientTest;

TEST_F(NormalizationTest, GradientsOfLayerNorm) {
  for (const Shape& shape : ShapesOfRows()) {
    SCOPED_TRACE(shape.ToString());
    Check([](const Inputs& in) { return LayerNorm(in[0], in[1], in[2], kEpsilon); },
          {Spread(shape), Random({shape.back()}), Random({shape.back()})});
  }
}

TEST_F(NormalizationTest, GradientsOfBatchNorm) {
  for (const Shape& shape : ShapesOfRows()) {
    SCOPED_TRACE(shape.ToString());
    Check([](const Inputs& in) { return BatchNorm(in[0], in[1], in[2], kEpsilon, nullptr); },
          {Spread(shape), Random({shape.back()}), Random({shape.back()})});
    // Of the parameters alone.
    const Variable constant = Detach(Spread(shape));
    Check([&](const Inputs& in) { return BatchNorm(constant, in[0], in[1], kEpsilon, nullptr); },
          {Random({shape.back()}), Random({shape.back()})});
  }
}

TEST_F(NormalizationTest, GradientsOfBatchNormInference) {
  for (const Shape& shape : ShapesOfRows()) {
    SCOPED_TRACE(shape.ToString());
    const BatchStatistics statistics = {Random({shape.back()}).value(),
                                        Positive({shape.back()}).value()};
    Check(
        [&](const Inputs& in) {
          return BatchNormInference(in[0], in[1], in[2], statistics, kEpsilon);
        },
        {Random(shape), Random({shape.back()}), Random({shape.back()})});
  }
}

TEST(BatchNormTest, GivesTheStatisticsThatInferenceTakes) {
  const Tensor x(CpuBackend(), {4, 1});
  for (int i = 0; i < 4; ++i) x.data()[i] = static_cast<float>(i);
  const Tensor one(CpuBackend(), {1}), zero(CpuBackend(), {1});
  CpuBackend()->Fill(1, one);
  CpuBackend()->Fill(0, zero);
  const Variable gamma = Variable::Input(one), beta = Variable::Input(zero);
  BatchStatistics statistics;
  const Variable y = BatchNorm(Variable::Input(x), gamma, beta, 0, &statistics);
  EXPECT_EQ(statistics.mean.data()[0], 1.5f);
  EXPECT_EQ(statistics.variance.data()[0], 1.25f);
  EXPECT_NEAR(y.value().data()[3], 1.5 / std::sqrt(1.25), 1e-6);
  const Variable same = BatchNormInference(Variable::Input(x), gamma, beta, statistics, 0);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(same.value().data()[i], y.value().data()[i], 1e-6);
  }
}

// 16-bit images have float32 parameters and statistics.
TEST(BatchNormTest, ParametersOfNarrowInputsAreFloat32) {
  const Tensor x(CpuBackend(), {4, 2});
  for (int i = 0; i < 8; ++i) x.data()[i] = static_cast<float>(i);
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    const Tensor ones(CpuBackend(), {2});
    CpuBackend()->Fill(1, ones);
    const Variable in = Variable::Parameter(x);
    const Variable gamma = Variable::Parameter(ones), beta = Variable::Parameter(ones);
    const Variable narrow = Cast(in, dtype);
    BatchStatistics statistics;
    Variable y = BatchNorm(narrow, gamma, beta, 1e-5, &statistics);
    EXPECT_EQ(y.dtype(), dtype);
    EXPECT_EQ(statistics.mean.data()[1], 4);
    y = BatchNormInference(y, gamma, beta, statistics, 1e-5);
    y = LayerNorm(y, gamma, beta, 1e-5);
    Backward(Sum(Multiply(y, y)));
    EXPECT_EQ(gamma.gradient().dtype(), DType::kFloat32);
    EXPECT_TRUE(std::isfinite(gamma.gradient().data()[0]));
    EXPECT_TRUE(std::isfinite(in.gradient().data()[0]));
  }
}

TEST(NormalizationDeathTest, NamesParametersThatDoNotFit) {
  const Variable x = RandomParameter({2, 3}, 1), right = RandomParameter({3}, 1),
                 wrong = RandomParameter({2}, 1);
  EXPECT_DEATH(LayerNorm(x, wrong, right, 1e-5), "gamma is float64\\[2\\] for float64\\[2, 3\\]");
  EXPECT_DEATH(BatchNorm(Cast(x, DType::kFloat32), right, right, 1e-5, nullptr),
               "gamma is float64\\[3\\] for float32\\[2, 3\\]");
}

}  // namespace
}  // namespace parley::nn
