#include "nn/models.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/sequential.h"

namespace parley::nn {
namespace {

// Of one layer: 1 GiB. Kept from being exceeded by any model whose inner layers are at most kWidest
// wide.
constexpr int64_t kMostWeights = int64_t{1} << 28;
constexpr int64_t kWidest = 256;

using Layers = std::vector<std::unique_ptr<Module>>;

// A dense layer that ReLU follows.
void AddHidden(Backend* backend, const std::string& name, int64_t inputs, int64_t outputs,
               Layers* layers) {
  layers->push_back(NewDense(backend, name, inputs, outputs, Initializer::HeNormal(inputs)));
  layers->push_back(NewRelu());
}

void AddOutput(Backend* backend, const std::string& name, int64_t inputs, int64_t outputs,
               Layers* layers) {
  layers->push_back(
      NewDense(backend, name, inputs, outputs, Initializer::GlorotUniform(inputs, outputs)));
}

void AddConvolution(Backend* backend, const std::string& name, int64_t inputs, int64_t outputs,
                    Layers* layers) {
  const Window window = {3, 3, /*stride=*/1, /*padding=*/1};
  layers->push_back(
      NewConv2d(backend, name, window, inputs, outputs, Initializer::HeNormal(3 * 3 * inputs)));
  layers->push_back(NewRelu());
  layers->push_back(NewMaxPool2d({2, 2, /*stride=*/2, /*padding=*/0}));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> NewModel(Backend* backend, absl::string_view name,
                                                 const std::vector<int>& feature_shape,
                                                 int outputs) {
  const std::string what =
      absl::StrCat("model ", name, " from features of shape [", absl::StrJoin(feature_shape, ", "),
                   "] to ", outputs, " outputs");
  if (outputs < 1) return absl::InvalidArgumentError(absl::StrCat(what, ": no outputs"));
  int64_t features = 1;
  for (const int dimension : feature_shape) {
    if (dimension < 1) return absl::InvalidArgumentError(absl::StrCat(what, ": no features"));
    features = std::min(features * dimension, kMostWeights);  // so that it cannot overflow
  }
  if (features > kMostWeights / std::max(kWidest, int64_t{outputs}) ||
      outputs > kMostWeights / kWidest) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": a layer would have more than ", kMostWeights, " weights"));
  }
  Layers layers;
  if (name == "linear") {
    layers.push_back(NewFlatten());
    AddOutput(backend, "dense", features, outputs, &layers);
  } else if (name == "mlp") {
    layers.push_back(NewFlatten());
    AddHidden(backend, "dense1", features, 256, &layers);
    AddHidden(backend, "dense2", 256, 128, &layers);
    AddOutput(backend, "dense3", 128, outputs, &layers);
  } else if (name == "cnn") {
    if (feature_shape.size() != 3 || feature_shape[0] < 4 || feature_shape[1] < 4) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": it wants images {height, width, channels} of at least 4x4"));
    }
    AddConvolution(backend, "conv1", feature_shape[2], 16, &layers);
    AddConvolution(backend, "conv2", 16, 32, &layers);
    layers.push_back(NewFlatten());
    const int64_t flat = int64_t{feature_shape[0] / 4} * (feature_shape[1] / 4) * 32;
    AddHidden(backend, "dense1", flat, 128, &layers);
    AddOutput(backend, "dense2", 128, outputs, &layers);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no model ", name, "; there are linear, mlp and cnn"));
  }
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
