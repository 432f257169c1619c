#include "nn/layers/batch_norm2d.h"

#include <cmath>
#include <map>
#include <string>

#include "base/philox.h"
#include "gtest/gtest.h"
#include "nn/init.h"
#include "nn/reductions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

constexpr int64_t kRows = 10;

// [kRows, 2]: channels of mean 3 and -1, roughly.
Variable Rows() {
  const Tensor x(CpuBackend(), {kRows, 2});
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    x.data()[i] = PhiloxNormal(1, 0, static_cast<uint64_t>(i)) + (i % 2 == 0 ? 3 : -1);
  }
  return Variable::Parameter(x);
}

struct Moments {
  double mean = 0;
  double variance = 0;  // over kRows - 1
};
Moments MomentsOf(const Tensor& x, int64_t channel) {
  Moments moments;
  for (int64_t i = 0; i < kRows; ++i) {
    moments.mean += static_cast<double>(x.data()[2 * i + channel]) / kRows;
  }
  for (int64_t i = 0; i < kRows; ++i) {
    const double off = static_cast<double>(x.data()[2 * i + channel]) - moments.mean;
    moments.variance += off * off / (kRows - 1);
  }
  return moments;
}

TEST(BatchNorm2dTest, MovingStatisticsFollowTheBatchesByTheirOwnRate) {
  BatchNormOptions options;
  options.momentum = 0.75;
  const std::unique_ptr<Module> norm = NewBatchNorm2d(CpuBackend(), "norm", 2, options);
  InitializeParameters(norm.get(), 1);
  std::map<std::string, Parameter> parameters;
  for (const Parameter& each : norm->parameters()) parameters[each.name] = each;
  ForwardContext context;
  context.training = true;
  const Variable x = Rows();
  for (int step = 0; step < 60; ++step) {
    for (auto& [name, each] : parameters) each.variable.ClearGradient();
    Backward(Sum(norm->Forward(x, context)));
    for (auto& [name, each] : parameters) {
      if (!each.averaged.has_value()) continue;
      EXPECT_EQ(*each.averaged, 0.25f);
      CpuBackend()->Affine(-0.25, each.variable.gradient(), 0, Write::kAdd, each.variable.value());
    }
  }
  for (int64_t channel = 0; channel < 2; ++channel) {
    const Moments moments = MomentsOf(x.value(), channel);
    EXPECT_NEAR(parameters["norm/moving_mean"].variable.value().data()[channel], moments.mean,
                1e-4);
    EXPECT_NEAR(parameters["norm/moving_variance"].variable.value().data()[channel],
                moments.variance, 1e-4);
  }
}

TEST(BatchNorm2dTest, TrainingUsesTheBatchAndEvaluationWhatMovedAlong) {
  const std::unique_ptr<Module> norm = NewBatchNorm2d(CpuBackend(), "norm", 2);
  InitializeParameters(norm.get(), 1);
  const Variable x = Rows();
  ForwardContext context;
  context.training = true;
  const Tensor trained = norm->Forward(x, context).value();
  for (int64_t channel = 0; channel < 2; ++channel) {
    EXPECT_NEAR(MomentsOf(trained, channel).mean, 0, 1e-5);
  }
  // Mean 0 and variance 1, as they begin.
  const Tensor evaluated = norm->Forward(x).value();
  for (int64_t i = 0; i < 2 * kRows; ++i) {
    EXPECT_NEAR(evaluated.data()[i], x.value().data()[i] / std::sqrt(1 + 1e-5f), 1e-5);
  }
}

TEST(BatchNorm2dTest, EvaluationDoesNotMoveTheStatistics) {
  const std::unique_ptr<Module> norm = NewBatchNorm2d(CpuBackend(), "norm", 2);
  InitializeParameters(norm.get(), 1);
  Backward(Sum(norm->Forward(Rows())));
  for (const Parameter& each : norm->parameters()) {
    if (!each.averaged.has_value()) continue;
    for (const float value : each.variable.gradient().span()) EXPECT_EQ(value, 0) << each.name;
  }
}

}  // namespace
}  // namespace parley::nn
