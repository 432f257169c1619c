#include <cmath>
#include <random>

#include "base/philox.h"
#include "gtest/gtest.h"
#include "nn/functions.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/sequential.h"
#include "nn/loss.h"
#include "nn/models.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

using Inputs = std::vector<Variable>;

Variable RandomParameter(const Shape& shape, uint64_t seed) {
  const Tensor value(CpuBackend(), shape);
  for (int64_t i = 0; i < value.num_elements(); ++i) {
    value.data()[i] = PhiloxNormal(seed, 7, static_cast<uint64_t>(i));
  }
  return Variable::Parameter(value);
}

// Values apart from each other and from 0 by more than a step, for functions with a kink where they
// meet.
Variable SpreadParameter(const Shape& shape, uint64_t seed) {
  Variable variable = RandomParameter(shape, seed);
  const int64_t size = variable.value().num_elements();
  for (int64_t i = 0; i < size; ++i) {
    const int64_t place = (i * 7 + static_cast<int64_t>(seed % 5)) % std::max<int64_t>(1, size);
    variable.value().data()[i] = 0.1f * (static_cast<float>(place - size / 2) + 0.5f);
  }
  return variable;
}

class GradientTest : public testing::Test {
 protected:
  GradientTest() : seed_(std::random_device()()), random_(seed_) {}
  int64_t Size(int64_t most) { return 1 + static_cast<int64_t>(random_() % most); }
  uint64_t seed() const { return seed_; }
  void Check(const std::function<Variable(const Inputs&)>& function, Inputs inputs) {
    SCOPED_TRACE(testing::Message() << "seed " << seed_);
    ExpectGradientsAgree(function, std::move(inputs), seed_);
  }

 private:
  const uint64_t seed_;
  std::mt19937 random_;
};

TEST_F(GradientTest, OfElementwiseFunctions) {
  const Shape shape = {Size(4), Size(5)};
  Check([](const Inputs& in) { return Add(in[0], in[1]); },
        {RandomParameter(shape, seed()), RandomParameter(shape, seed() + 1)});
  Check([](const Inputs& in) { return Multiply(in[0], in[1]); },
        {RandomParameter(shape, seed()), RandomParameter(shape, seed() + 1)});
  Check([](const Inputs& in) { return Multiply(in[0], in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Scale(in[0], -2.5f); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Mean(in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Relu(in[0]); }, {SpreadParameter(shape, seed())});
  Check([](const Inputs& in) { return Sigmoid(in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Tanh(in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Softmax(in[0]); }, {RandomParameter(shape, seed())});
}

TEST_F(GradientTest, OfProductsAndBiases) {
  const int64_t m = Size(4), k = Size(5), n = Size(6);
  Check([](const Inputs& in) { return AddBias(MatMul(in[0], in[1]), in[2]); },
        {RandomParameter({m, k}, seed()), RandomParameter({k, n}, seed() + 1),
         RandomParameter({n}, seed() + 2)});
}

TEST_F(GradientTest, OfConvolutions) {
  const int64_t in = Size(3), out = Size(3);
  for (const Window& window : {Window{3, 3, 1, 1}, Window{2, 3, 2, 0}, Window{1, 1, 1, 0}}) {
    Check([window](const Inputs& inputs) { return Conv2d(inputs[0], inputs[1], window); },
          {RandomParameter({Size(3), 5, 4, in}, seed()),
           RandomParameter({window.height, window.width, in, out}, seed() + 1)});
  }
}

TEST_F(GradientTest, OfMaxPooling) {
  for (const Window& window : {Window{2, 2, 2, 0}, Window{3, 2, 1, 1}}) {
    Check([window](const Inputs& in) { return MaxPool2d(in[0], window); },
          {SpreadParameter({Size(2), 4, 5, Size(3)}, seed())});
  }
}

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

TEST_F(GradientTest, OfAModelOfLayers) {
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(
      NewConv2d(CpuBackend(), "conv", {3, 3, 1, 1}, 2, 3, Initializer::Normal(0, 0.3f)));
  layers.push_back(NewTanh());
  layers.push_back(NewFlatten());
  layers.push_back(NewDense(CpuBackend(), "dense", 4 * 4 * 3, 2, Initializer::Normal(0, 0.3f)));
  layers.push_back(NewSoftmax());
  const std::unique_ptr<Module> model = NewSequential(std::move(layers));
  InitializeParameters(model.get(), seed());
  Inputs inputs = {RandomParameter({2, 4, 4, 2}, seed())};
  for (const Parameter& parameter : model->parameters()) inputs.push_back(parameter.variable);
  Check([&](const Inputs& in) { return model->Forward(in[0]); }, inputs);
}

TEST(VariableTest, GradientsAddUpUntilTheyAreCleared) {
  Variable x = Variable::Parameter(Tensor(CpuBackend(), {1}));
  x.value().data()[0] = 3;
  EXPECT_EQ(x.gradient().data()[0], 0);
  Backward(Mean(Multiply(x, x)));
  EXPECT_EQ(x.gradient().data()[0], 6);
  Backward(Mean(Add(x, x)));
  EXPECT_EQ(x.gradient().data()[0], 8);
  x.ClearGradient();
  Backward(Mean(Scale(x, 5)));
  EXPECT_EQ(x.gradient().data()[0], 5);
}

TEST(VariableTest, WorksInBorrowedMemory) {
  alignas(64) float value[2] = {1, 2};
  alignas(64) float gradient[2] = {9, 9};
  Variable x = Variable::Parameter(Tensor(CpuBackend(), {2}));
  x.Bind(Tensor::Borrow(CpuBackend(), {2}, value), Tensor::Borrow(CpuBackend(), {2}, gradient));
  Backward(Mean(Multiply(x, x)));
  EXPECT_EQ(gradient[0], 1);
  EXPECT_EQ(gradient[1], 2);
}

TEST(LossTest, CountsTheRowsThatAreRight) {
  const Tensor logits(CpuBackend(), {3, 2});
  const std::vector<float> values = {1, 2, 5, 5, 0, -1};
  CpuBackend()->CopyFromHost(values.data(), logits);
  EXPECT_EQ(CountCorrect(logits, {1, 0, 1}), 2);
}

TEST(ModelsTest, RefusesWhatDoesNotFit) {
  Backend* const cpu = CpuBackend();
  EXPECT_TRUE(NewModel(cpu, "cnn", {28, 28, 1}, 10).ok());
  EXPECT_EQ(NewModel(cpu, "cnn", {784}, 10).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NewModel(cpu, "cnn", {3, 28, 1}, 10).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NewModel(cpu, "gpt", {28, 28, 1}, 10).status().message(),
            "there is no model gpt; there are linear, mlp and cnn");
  EXPECT_EQ(NewModel(cpu, "mlp", {3}, 0).status().code(), absl::StatusCode::kInvalidArgument);
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
      CpuBackend()->Scale(-0.2f, parameter.variable.gradient(), Write::kAdd,
                          parameter.variable.value());
    }
  }
  EXPECT_EQ(correct, kPoints);
}

}  // namespace
}  // namespace parley::nn
