#include "nn/models.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/philox.h"
#include "gtest/gtest.h"
#include "nn/init.h"
#include "nn/loss.h"
#include "nn/metrics.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

TEST(ModelsTest, RefusesWhatDoesNotFit) {
  Backend* const cpu = CpuBackend();
  EXPECT_TRUE(NewModel(cpu, "cnn", {28, 28, 1}, 10).ok());
  EXPECT_EQ(NewModel(cpu, "cnn", {784}, 10).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NewModel(cpu, "cnn", {3, 28, 1}, 10).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NewModel(cpu, "gpt", {28, 28, 1}, 10).status().message(),
            "there is no model gpt; there are linear, mlp and cnn");
  constexpr int kMany = 1 << 30;
  for (const auto& [shape, outputs] :
       std::vector<std::pair<std::vector<int>, int>>{{{3}, 0},
                                                     {{3}, -1},
                                                     {{0}, 2},
                                                     {{4, -4, -4}, 2},
                                                     {{8, 8, 0}, 2},
                                                     {{kMany}, 2},
                                                     {{kMany, kMany, kMany}, 2},
                                                     {{kMany, kMany, kMany, 0}, 2},
                                                     {{3}, kMany}}) {
    for (const char* name : {"linear", "mlp", "cnn"}) {
      EXPECT_EQ(NewModel(cpu, name, shape, outputs).status().code(),
                absl::StatusCode::kInvalidArgument)
          << name << testing::PrintToString(shape) << outputs;
    }
  }
}

// Two spirals, which no linear model can part.
TEST(ModelsTest, AnMlpLearnsToPartTwoSpirals) {
  constexpr int kPoints = 128;
  const std::unique_ptr<Module> model = NewModel(CpuBackend(), "mlp", {2}, 2).value();
  InitializeParameters(model.get(), 1);
  const Tensor points(CpuBackend(), {kPoints, 2});
  std::vector<int32_t> labels;
  for (int i = 0; i < kPoints; ++i) {
    const float radius = 0.1f + 0.9f * static_cast<float>(i / 2) / (kPoints / 2);
    const float angle = 6 * radius + 3.14159265f * static_cast<float>(i % 2);
    points.data()[2 * i] = radius * std::cos(angle);
    points.data()[2 * i + 1] = radius * std::sin(angle);
    labels.push_back(i % 2);
  }
  int64_t correct = 0;
  for (int step = 0; step < 1500 && correct < kPoints; ++step) {
    for (Parameter& parameter : model->parameters()) parameter.variable.ClearGradient();
    const Variable logits = model->Forward(Variable::Input(points));
    correct = CountCorrect(logits.value(), labels);
    Backward(SoftmaxCrossEntropyLoss(logits, labels));
    for (const Parameter& parameter : model->parameters()) {
      CpuBackend()->Affine(-0.2, parameter.variable.gradient(), 0, Write::kAdd,
                           parameter.variable.value());
    }
  }
  EXPECT_EQ(correct, kPoints);
}

TEST(ModelsTest, ParametersAreNamedAndShapedTheSameEveryTime) {
  std::vector<std::string> names;
  for (const Parameter& each :
       NewModel(CpuBackend(), "cnn", {28, 28, 1}, 10).value()->parameters()) {
    names.push_back(each.name + each.variable.shape().ToString());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"conv1/filter[3, 3, 1, 16]", "conv1/bias[16]",
                                             "conv2/filter[3, 3, 16, 32]", "conv2/bias[32]",
                                             "dense1/kernel[1568, 128]", "dense1/bias[128]",
                                             "dense2/kernel[128, 10]", "dense2/bias[10]"}));
}

// Forward and backward of convolutions and dense layers, with parameters and gradients in borrowed
// memory: the same bits wherever the memory is.
TEST(ModelsTest, LossAndGradientsDoNotDependOnAddresses) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  Backend* const cpu = CpuBackend();
  constexpr int64_t kBatch = 5;
  std::vector<AlignedBytes> buffers;
  std::vector<Variable> kept;  // with their graphs, so that no run gets memory of another
  std::vector<std::vector<char>> ballast;
  std::vector<float> first;
  for (int run = 0; run < 6; ++run) {
    const std::unique_ptr<Module> model = NewModel(cpu, "cnn", {11, 9, 3}, 7).value();
    std::vector<Parameter> parameters = model->parameters();
    for (Parameter& parameter : parameters) {
      const Shape shape = parameter.variable.shape();
      const auto borrow = [&] {
        const size_t lines = random() % 70;
        const size_t bytes = static_cast<size_t>(shape.num_elements()) * sizeof(float);
        buffers.push_back(NewAlignedBytes(lines * kBufferAlignment + bytes));
        return Tensor::Borrow(
            cpu, shape, reinterpret_cast<float*>(buffers.back().get() + lines * kBufferAlignment));
      };
      parameter.variable.Bind(borrow(), borrow());
    }
    InitializeParameters(model.get(), 3);
    ballast.emplace_back(random() % 9000);
    const Tensor images(cpu, {kBatch, 11, 9, 3});
    for (int64_t i = 0; i < images.num_elements(); ++i) {
      images.data()[i] = PhiloxUniform(5, 0, static_cast<uint64_t>(i));
    }
    const Variable loss =
        SoftmaxCrossEntropyLoss(model->Forward(Variable::Input(images)), {0, 6, 2, 3, 3});
    Backward(loss);
    kept.push_back(loss);
    std::vector<float> all = {loss.value().data()[0]};
    for (const Parameter& parameter : parameters) {
      const auto gradient = parameter.variable.gradient().span();
      all.insert(all.end(), gradient.begin(), gradient.end());
    }
    if (run == 0) first = all;
    EXPECT_EQ(std::memcmp(all.data(), first.data(), all.size() * sizeof(float)), 0)
        << "run " << run;
  }
}

}  // namespace
}  // namespace parley::nn
