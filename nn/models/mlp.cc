#include "nn/models/mlp.h"

#include <utility>
#include <vector>

#include "nn/layers/activations.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/sequential.h"

namespace parley::nn {

std::unique_ptr<Module> NewLinear(Backend* backend, int64_t features, int64_t outputs) {
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(NewFlatten());
  layers.push_back(
      NewDense(backend, "dense", features, outputs, Initializer::GlorotUniform(features, outputs)));
  return NewSequential(std::move(layers));
}

std::unique_ptr<Module> NewMlp(Backend* backend, int64_t features, int64_t outputs) {
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(NewFlatten());
  layers.push_back(NewDense(backend, "dense1", features, 256, Initializer::HeNormal(features)));
  layers.push_back(NewRelu());
  layers.push_back(NewDense(backend, "dense2", 256, 128, Initializer::HeNormal(256)));
  layers.push_back(NewRelu());
  layers.push_back(
      NewDense(backend, "dense3", 128, outputs, Initializer::GlorotUniform(128, outputs)));
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
