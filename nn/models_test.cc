#include "nn/models.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
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

ModelOptions Options(const std::string& name, const std::vector<int>& feature_shape, int outputs) {
  ModelOptions options;
  options.name = name;
  options.feature_shape = feature_shape;
  options.outputs = outputs;
  return options;
}

std::string Refusal(const ModelOptions& options) {
  const absl::Status status = NewModel(CpuBackend(), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(ModelsTest, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(NewModel(CpuBackend(), "cnn", {28, 28, 1}, 10).ok());
  EXPECT_EQ(Refusal(Options("cnn", {784}, 10)),
            "model cnn from features of shape [784] to 10 outputs: it wants images {height, width, "
            "channels} of at least 4x4");
  Refusal(Options("cnn", {3, 28, 1}, 10));
  Refusal(Options("resnet18", {28, 7, 1}, 10));
  Refusal(Options("lstm", {28, 28}, 10));
  Refusal(Options("transformer", {}, 10));
  EXPECT_EQ(Refusal(Options("gpt", {28, 28, 1}, 10)),
            "there is no model gpt; there are linear, mlp, cnn, resnet18, lstm, transformer, "
            "wide_deep");
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
    for (const char* name : {"linear", "mlp", "cnn", "resnet18", "transformer"}) {
      SCOPED_TRACE(testing::Message() << name << testing::PrintToString(shape) << outputs);
      Refusal(Options(name, shape, outputs));
    }
  }
}

TEST(ModelsTest, RefusesSizesThatCannotBe) {
  for (const auto& [field, value, message] :
       std::vector<std::tuple<int ModelOptions::*, int, std::string>>{
           {&ModelOptions::layers, -1, "-1 layers; at least 1 and at most 1024"},
           {&ModelOptions::layers, 1 << 30, "1073741824 layers; at least 1 and at most 1024"},
           {&ModelOptions::width, -1, "width -1; at least 1 and at most 8192"},
           {&ModelOptions::width, 1 << 20, "width 1048576; at least 1 and at most 8192"},
           {&ModelOptions::heads, -2, "-2 heads do not divide width 256"},
           {&ModelOptions::heads, 3, "3 heads do not divide width 256"}}) {
    ModelOptions options = Options("transformer", {8}, 5);
    options.*field = value;
    EXPECT_EQ(Refusal(options),
              "model transformer from features of shape [8] to 5 outputs: " + message);
  }
  for (const double dropout : {-0.1, 1.0, std::nan("")}) {
    ModelOptions options = Options("lstm", {8}, 5);
    options.dropout = dropout;
    Refusal(options);
  }
  for (const auto& [columns, categories] :
       std::vector<std::pair<int, int64_t>>{{0, 5}, {-1, 5}, {2, 1}, {2, int64_t{1} << 60}}) {
    ModelOptions options = Options("wide_deep", {3}, 1);
    options.category_columns = columns;
    options.categories = categories;
    Refusal(options);
  }
}

// A model and a batch that it can learn by heart.
struct Problem {
  ModelOptions options;
  double learning_rate;
  int steps;
};

std::vector<Problem> Problems() {
  std::vector<Problem> problems = {
      {Options("linear", {5}, 3), 0.2, 20},     {Options("mlp", {5}, 3), 0.1, 10},
      {Options("cnn", {9, 8, 2}, 3), 0.02, 10}, {Options("resnet18", {8, 8, 1}, 3), 0.01, 2},
      {Options("lstm", {5}, 7), 2, 30},         {Options("transformer", {5}, 7), 0.1, 10},
      {Options("wide_deep", {3}, 2), 0.2, 10},  {Options("wide_deep", {0}, 2), 0.2, 10},
  };
  for (Problem& problem : problems) {
    ModelOptions& options = problem.options;
    if (options.name == "lstm" || options.name == "transformer") {
      options.width = 16;
      options.layers = 2;
      options.dropout = 0.05;
    }
    options.category_columns = 2;
    options.categories = 9;
  }
  return problems;
}

constexpr int64_t kExamples = 6;

// The model's inputs for a batch, and the labels of its outputs' rows.
std::pair<std::vector<Variable>, std::vector<int32_t>> Batch(const ModelOptions& options) {
  const auto ids = [](int64_t columns, int64_t below) {
    const Tensor tensor(CpuBackend(), {kExamples, columns}, DType::kInt32);
    for (int64_t i = 0; i < tensor.num_elements(); ++i) {
      tensor.int_data()[i] = static_cast<int32_t>(
          PhiloxBelow(3, 0, static_cast<uint64_t>(i), static_cast<uint64_t>(below)));
    }
    return Variable::Input(tensor);
  };
  std::vector<int64_t> shape = {kExamples};
  for (const int size : options.feature_shape) shape.push_back(size);
  const Tensor numbers(CpuBackend(), Shape(shape));
  for (int64_t i = 0; i < numbers.num_elements(); ++i) {
    numbers.data()[i] = PhiloxNormal(4, 0, static_cast<uint64_t>(i));
  }
  std::vector<Variable> inputs = {Variable::Input(numbers)};
  int64_t rows = kExamples;
  if (options.name == "lstm" || options.name == "transformer") {
    inputs = {ids(options.feature_shape[0], options.outputs)};
    rows *= options.feature_shape[0];
  } else if (options.name == "wide_deep") {
    inputs.insert(inputs.begin(), ids(options.category_columns, options.categories));
  }
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < rows; ++i) {
    if (rows > kExamples) {  // of a text: what follows each token
      labels.push_back((inputs[0].value().int_data()[i] + 1) % options.outputs);
      continue;
    }
    labels.push_back(static_cast<int32_t>(
        PhiloxBelow(5, 0, static_cast<uint64_t>(i), static_cast<uint64_t>(options.outputs))));
  }
  return {inputs, labels};
}

// Trains as a shard would, and returns the loss of each step and one more, and all parameters.
std::vector<float> Train(const Problem& problem, DType dtype, std::vector<float>* parameters) {
  const std::unique_ptr<Module> model = NewModel(CpuBackend(), problem.options).value();
  InitializeParameters(model.get(), 1);
  const auto [inputs, labels] = Batch(problem.options);
  std::vector<float> losses;
  for (int step = 0; step <= problem.steps; ++step) {
    ForwardContext context;
    context.training = true;
    context.dtype = dtype;
    context.step = step;
    for (Parameter& each : model->parameters()) each.variable.ClearGradient();
    const Variable outputs = model->ForwardInputs(inputs, context);
    EXPECT_EQ(outputs.dtype(), DType::kFloat32);
    EXPECT_EQ(outputs.shape(),
              (Shape{static_cast<int64_t>(labels.size()), problem.options.outputs}));
    const Variable loss = SoftmaxCrossEntropyLoss(outputs, labels);
    losses.push_back(loss.value().data()[0]);
    Backward(loss);
    for (const Parameter& each : model->parameters()) {
      const double rate =
          each.averaged.has_value() ? static_cast<double>(*each.averaged) : problem.learning_rate;
      CpuBackend()->Affine(-rate, each.variable.gradient(), 0, Write::kAdd, each.variable.value());
    }
  }
  parameters->clear();
  for (const Parameter& each : model->parameters()) {
    const auto values = each.variable.value().span();
    parameters->insert(parameters->end(), values.begin(), values.end());
  }
  return losses;
}

TEST(ModelsTest, EveryModelLearnsInEveryPrecision) {
  for (const Problem& problem : Problems()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      std::vector<float> parameters;
      const std::vector<float> losses = Train(problem, dtype, &parameters);
      EXPECT_LT(losses.back(), 0.9f * losses.front())
          << problem.options.name << " in " << NameOf(dtype) << ": "
          << testing::PrintToString(losses);
    }
  }
}

TEST(ModelsTest, TheSameSeedGivesTheSameBits) {
  for (Problem& problem : Problems()) {
    problem.steps = 1;
    std::vector<float> first;
    std::vector<float> second;
    Train(problem, DType::kFloat32, &first);
    Train(problem, DType::kFloat32, &second);
    ASSERT_EQ(first.size(), second.size());
    EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof(float)), 0)
        << problem.options.name;
  }
}

// What is used when it has learned depends neither on the seed nor on the other examples.
TEST(ModelsTest, EvaluationIsOfEachExampleAlone) {
  for (const Problem& problem : Problems()) {
    const std::unique_ptr<Module> model = NewModel(CpuBackend(), problem.options).value();
    InitializeParameters(model.get(), 1);
    const auto [inputs, labels] = Batch(problem.options);
    std::vector<Variable> first;
    for (const Variable& input : inputs) {
      std::vector<int64_t> shape = input.shape().ToVector();
      shape[0] = 1;
      const Tensor part(CpuBackend(), Shape(shape), input.value().dtype());
      std::memcpy(part.As<char>(), input.value().As<char>(), part.bytes());
      first.push_back(Variable::Input(part));
    }
    ForwardContext context;
    const Tensor all = model->ForwardInputs(inputs, context).value();
    context.seed = 9;
    const Tensor alone = model->ForwardInputs(first, context).value();
    for (int64_t i = 0; i < alone.num_elements(); ++i) {
      // Sums of another order are rounded otherwise.
      EXPECT_NEAR(alone.data()[i], all.data()[i], 1e-4 * (1 + std::fabs(all.data()[i])))
          << problem.options.name;
    }
  }
}

// The next token's logits do not see it.
TEST(ModelsTest, LanguageModelsDoNotLookAhead) {
  for (const Problem& problem : Problems()) {
    if (problem.options.name != "lstm" && problem.options.name != "transformer") continue;
    const std::unique_ptr<Module> model = NewModel(CpuBackend(), problem.options).value();
    InitializeParameters(model.get(), 1);
    const auto [inputs, labels] = Batch(problem.options);
    const int64_t time = inputs[0].shape()[1];
    const Tensor before = model->Forward(inputs[0]).value();
    int32_t* const last = inputs[0].value().int_data() + time - 1;
    *last = (*last + 1) % problem.options.outputs;
    const Tensor after = model->Forward(inputs[0]).value();
    for (int64_t i = 0; i < (time - 1) * problem.options.outputs; ++i) {
      EXPECT_EQ(before.data()[i], after.data()[i]) << problem.options.name << " " << i;
    }
    bool differs = false;
    for (int64_t i = (time - 1) * problem.options.outputs; i < time * problem.options.outputs;
         ++i) {
      differs = differs || before.data()[i] != after.data()[i];
    }
    EXPECT_TRUE(differs) << problem.options.name;
  }
}

TEST(ModelsTest, Resnet18HasTheLayersOfThePaper) {
  const std::unique_ptr<Module> model = NewModel(CpuBackend(), "resnet18", {32, 32, 3}, 10).value();
  int64_t learned = 0;
  int convolutions = 0;
  for (const Parameter& each : model->parameters()) {
    if (!each.averaged.has_value()) learned += each.variable.value().num_elements();
    if (each.variable.shape().rank() == 4) ++convolutions;
  }
  EXPECT_EQ(learned, 11173962);  // as torchvision's, with a 3x3 stem and 10 classes
  EXPECT_EQ(convolutions, 17 + 3);
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
