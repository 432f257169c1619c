#include "nn/models/cnn.h"

#include <utility>
#include <vector>

#include "nn/layers/activations.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/sequential.h"

namespace parley::nn {

std::unique_ptr<Module> NewCnn(Backend* backend, int64_t height, int64_t width, int64_t channels,
                               int64_t outputs) {
  const Window window = {3, 3, /*stride=*/1, /*padding=*/1};
  const Window half = {2, 2, /*stride=*/2, /*padding=*/0};
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(
      NewConv2d(backend, "conv1", window, channels, 16, Initializer::HeNormal(3 * 3 * channels)));
  layers.push_back(NewRelu());
  layers.push_back(NewMaxPool2d(half));
  layers.push_back(NewConv2d(backend, "conv2", window, 16, 32, Initializer::HeNormal(3 * 3 * 16)));
  layers.push_back(NewRelu());
  layers.push_back(NewMaxPool2d(half));
  layers.push_back(NewFlatten());
  const int64_t flat = (height / 4) * (width / 4) * 32;
  layers.push_back(NewDense(backend, "dense1", flat, 128, Initializer::HeNormal(flat)));
  layers.push_back(NewRelu());
  layers.push_back(
      NewDense(backend, "dense2", 128, outputs, Initializer::GlorotUniform(128, outputs)));
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
