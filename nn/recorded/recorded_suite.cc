#include "nn/recorded/recorded_suite.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/layers/activations.h"
#include "nn/layers/batch_norm2d.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/embedding.h"
#include "nn/layers/layer_norm.h"
#include "nn/layers/multi_head_attention.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/recurrent.h"
#include "nn/layers/residual.h"
#include "nn/layers/sequential.h"
#include "nn/loss.h"
#include "nn/recorded/recorded_cases.h"
#include "nn/reductions.h"
#include "nn/softmax.h"

namespace parley::nn {
namespace {

using Tensors = std::map<std::string, RecordedTensor>;

std::unique_ptr<Module> BasicBlock(Backend* backend) {
  const Initializer zeros = Initializer::Zeros();
  std::vector<std::unique_ptr<Module>> body;
  body.push_back(NewConv2dWithoutBias(backend, "conv1", {3, 3, 2, 1}, 2, 3, zeros));
  body.push_back(NewBatchNorm2d(backend, "norm1", 3));
  body.push_back(NewRelu());
  body.push_back(NewConv2dWithoutBias(backend, "conv2", {3, 3, 1, 1}, 3, 3, zeros));
  body.push_back(NewBatchNorm2d(backend, "norm2", 3));
  std::vector<std::unique_ptr<Module>> shortcut;
  shortcut.push_back(NewConv2dWithoutBias(backend, "conv_shortcut", {1, 1, 2, 0}, 2, 3, zeros));
  shortcut.push_back(NewBatchNorm2d(backend, "norm_shortcut", 3));
  std::vector<std::unique_ptr<Module>> block;
  block.push_back(NewResidual(NewSequential(std::move(body)), NewSequential(std::move(shortcut))));
  block.push_back(NewRelu());
  return NewSequential(std::move(block));
}

// The layer of each case of layers.txt.
std::map<std::string, std::function<std::unique_ptr<Module>()>> Layers(Backend* backend) {
  const Initializer zeros = Initializer::Zeros();
  const auto conv2d = [=](const Window& window, int64_t inputs, int64_t outputs) {
    return [=] { return NewConv2d(backend, "layer", window, inputs, outputs, zeros); };
  };
  const auto batch_norm2d = [=] { return NewBatchNorm2d(backend, "layer", 3); };
  const auto attention = [=](bool causal) {
    return [=] { return NewMultiHeadAttention(backend, "layer", 6, 2, causal); };
  };
  return {
      {"dense", [=] { return NewDense(backend, "layer", 4, 3, zeros); }},
      {"conv2d_3x3_padding_1", conv2d({3, 3, 1, 1}, 2, 3)},
      {"conv2d_3x3_stride_2_padding_1", conv2d({3, 3, 2, 1}, 2, 3)},
      {"conv2d_5x5", conv2d({5, 5, 1, 0}, 1, 2)},
      {"conv2d_1x1_stride_2_without_bias",
       [=] {
         return NewConv2dWithoutBias(backend, "layer", {1, 1, 2, 0}, 3, 2, zeros);
       }},
      {"max_pool2d_2x2_stride_2",
       [] {
         return NewMaxPool2d({2, 2, 2, 0});
       }},
      {"max_pool2d_3x3_stride_2_padding_1",
       [] {
         return NewMaxPool2d({3, 3, 2, 1});
       }},
      {"avg_pool2d_2x2_stride_2",
       [] {
         return NewAvgPool2d({2, 2, 2, 0});
       }},
      {"avg_pool2d_3x3_stride_2_padding_1",
       [] {
         return NewAvgPool2d({3, 3, 2, 1});
       }},
      {"global_avg_pool2d", NewGlobalAvgPool2d},
      {"batch_norm2d_training", batch_norm2d},
      {"batch_norm2d_evaluation", batch_norm2d},
      {"layer_norm", [=] { return NewLayerNorm(backend, "layer", 5); }},
      {"embedding", [=] { return NewEmbedding(backend, "layer", 6, 3, zeros); }},
      {"lstm", [=] { return NewLstm(backend, "layer", 3, 4); }},
      {"gru", [=] { return NewGru(backend, "layer", 3, 4); }},
      {"multi_head_attention", attention(false)},
      {"multi_head_attention_causal", attention(true)},
      {"relu", NewRelu},
      {"leaky_relu", [] { return NewLeakyRelu(0.2); }},
      {"sigmoid", NewSigmoid},
      {"tanh", NewTanh},
      {"gelu", NewGelu},
      {"softmax", NewSoftmax},
      {"residual_block_training", [=] { return BasicBlock(backend); }},
      {"residual_block_evaluation", [=] { return BasicBlock(backend); }},
  };
}

// The loss of each case of losses.txt.
std::map<std::string, std::function<Variable(const Variable& x, const Tensor& target)>> Losses() {
  using Targets = const Tensor&;
  return {
      {"mean_squared_error",
       [](const Variable& x, Targets target) { return MeanSquaredError(x, target); }},
      {"softmax_cross_entropy",
       [](const Variable& x, Targets target) { return SoftmaxCrossEntropyLoss(x, target); }},
      {"binary_cross_entropy",
       [](const Variable& x, Targets target) { return BinaryCrossEntropyLoss(x, target); }},
      {"kl_divergence",
       [](const Variable& x, Targets target) { return KlDivergenceLoss(LogSoftmax(x), target); }},
  };
}

Tensor ToDevice(Backend* backend, const RecordedTensor& recorded, DType dtype) {
  const Tensor exact(backend, recorded.shape, DType::kFloat64);
  backend->CopyFromHost(recorded.values.data(), exact);
  const Tensor tensor(backend, recorded.shape, dtype);
  backend->Cast(exact, Write::kReplace, tensor);
  return tensor;
}

RecordedTensor FromDevice(const Tensor& tensor) {
  Backend* const backend = tensor.backend();
  const Tensor exact(backend, tensor.shape(), DType::kFloat64);
  backend->Cast(tensor, Write::kReplace, exact);
  RecordedTensor host;
  host.shape = tensor.shape();
  host.values.resize(static_cast<size_t>(tensor.num_elements()));
  const absl::Status status = backend->CopyToHost(exact, host.values.data());
  EXPECT_TRUE(status.ok()) << status;
  return host;
}

// Each element is within `tolerance` of the largest, which counts as 1/8 at least. Gradients that
// are exactly 0, a key's bias for one, come out as what rounding leaves of sums of about 1.
void ExpectClose(const RecordedTensor& got, const RecordedTensor& expected, double tolerance) {
  ASSERT_EQ(got.shape, expected.shape)
      << got.shape.ToString() << " for " << expected.shape.ToString();
  double largest = 0;
  for (const double value : expected.values) largest = std::max(largest, std::fabs(value));
  largest = largest < 1e-12 ? 1 : std::max(largest, 0.125);
  for (size_t i = 0; i < got.values.size(); ++i) {
    EXPECT_NEAR(got.values[i], expected.values[i], tolerance * largest) << "element " << i;
  }
}

void CheckLayer(Backend* backend, DType dtype, double tolerance, const RecordedCase& recorded,
                Module* layer) {
  const Tensors& tensors = recorded.tensors;
  const std::vector<Parameter> parameters = layer->parameters();
  std::set<std::string> names;
  for (const Parameter& parameter : parameters) {
    names.insert("p:" + parameter.name);
    const auto found = tensors.find("p:" + parameter.name);
    ASSERT_NE(found, tensors.end()) << parameter.name << " was not recorded";
    ASSERT_EQ(parameter.variable.shape(), found->second.shape) << parameter.name;
    backend->Cast(ToDevice(backend, found->second, DType::kFloat64), Write::kReplace,
                  parameter.variable.value());
  }
  for (const auto& [key, value] : tensors) {
    if (absl::StartsWith(key, "p:")) {
      EXPECT_TRUE(names.count(key)) << key << " is no parameter";
    }
  }

  ForwardContext context;
  context.training = !absl::EndsWith(recorded.name, "_evaluation");
  context.dtype = dtype;
  context.loss_scale = 4;
  const bool has_gradient = tensors.count("dx") > 0;
  const Variable x = has_gradient
                         ? Variable::Parameter(ToDevice(backend, tensors.at("x"), dtype))
                         : Variable::Input(ToDevice(backend, tensors.at("x"), DType::kInt32));
  const Variable y = layer->Forward(x, context);
  EXPECT_EQ(y.dtype(), dtype);
  const RecordedTensor output = FromDevice(y.value());
  BackwardOptions options;
  options.scale = context.loss_scale;
  Backward(Sum(Multiply(y, Variable::Input(ToDevice(backend, tensors.at("dy"), dtype)))), options);

  const auto gradient = [&](const Variable& variable) {
    RecordedTensor result = FromDevice(variable.gradient());
    for (double& value : result.values) value /= options.scale;
    return result;
  };
  {
    SCOPED_TRACE("y");
    ExpectClose(output, tensors.at("y"), tolerance);
  }
  if (has_gradient) {
    SCOPED_TRACE("dx");
    ExpectClose(gradient(x), tensors.at("dx"), tolerance);
  }
  for (const Parameter& parameter : parameters) {
    SCOPED_TRACE(parameter.name);
    RecordedTensor got = gradient(parameter.variable);
    if (!parameter.averaged.has_value()) {
      ExpectClose(got, tensors.at("g:" + parameter.name), tolerance);
      continue;
    }
    for (size_t i = 0; i < got.values.size(); ++i) {
      got.values[i] = tensors.at("p:" + parameter.name).values[i] -
                      static_cast<double>(*parameter.averaged) * got.values[i];
    }
    ExpectClose(got, tensors.at("a:" + parameter.name), tolerance);
  }
}

// The names of `cases` are those of `made`.
template <typename Made>
void ExpectAllThere(const std::vector<RecordedCase>& cases, const Made& made) {
  std::set<std::string> recorded;
  for (const RecordedCase& each : cases) recorded.insert(each.name);
  for (const auto& [name, maker] : made) EXPECT_TRUE(recorded.count(name)) << name;
  for (const std::string& name : recorded) EXPECT_TRUE(made.count(name)) << name;
}

}  // namespace

void ExpectLayersAgreeWithPyTorch(Backend* backend, DType dtype, double tolerance) {
  const auto cases = ReadRecordedCases("nn/recorded/layers.txt");
  ASSERT_TRUE(cases.ok()) << cases.status();
  const auto layers = Layers(backend);
  ExpectAllThere(*cases, layers);
  for (const RecordedCase& each : *cases) {
    SCOPED_TRACE(absl::StrCat(each.name, " in ", NameOf(dtype)));
    CheckLayer(backend, dtype, tolerance, each, layers.at(each.name)().get());
  }
}

void ExpectLossesAgreeWithPyTorch(Backend* backend, DType dtype, double tolerance) {
  const auto cases = ReadRecordedCases("nn/recorded/losses.txt");
  ASSERT_TRUE(cases.ok()) << cases.status();
  const auto losses = Losses();
  ExpectAllThere(*cases, losses);
  for (const RecordedCase& each : *cases) {
    SCOPED_TRACE(absl::StrCat(each.name, " in ", NameOf(dtype)));
    const Variable x = Variable::Parameter(ToDevice(backend, each.tensors.at("x"), dtype));
    const DType target = each.name == "softmax_cross_entropy" ? DType::kInt32 : dtype;
    const Variable loss =
        losses.at(each.name)(x, ToDevice(backend, each.tensors.at("target"), target));
    Backward(loss);
    ExpectClose(FromDevice(loss.value()), each.tensors.at("loss"), tolerance);
    SCOPED_TRACE("dx");
    ExpectClose(FromDevice(x.gradient()), each.tensors.at("dx"), tolerance);
  }
}

}  // namespace parley::nn
