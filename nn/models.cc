#include "nn/models.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/sequential.h"

namespace parley::nn {
namespace {

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
  if (outputs < 1)
    return absl::InvalidArgumentError(absl::StrCat("a model with ", outputs, " outputs"));
  int64_t features = 1;
  for (const int dimension : feature_shape) features *= dimension;
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
          absl::StrCat("model cnn wants images of at least 4x4, not features of shape [",
                       absl::StrJoin(feature_shape, ", "), "]"));
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
