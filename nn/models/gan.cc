#include "nn/models/gan.h"

#include <utility>
#include <vector>

#include "nn/layers/activations.h"
#include "nn/layers/dense.h"
#include "nn/layers/dropout.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/sequential.h"
#include "nn/layout.h"

namespace parley::nn {

std::unique_ptr<Module> NewGenerator(Backend* backend, int64_t latent, int64_t height,
                                     int64_t width, int64_t channels) {
  const int64_t pixels = height * width * channels;
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(
      NewDense(backend, "generator/dense1", latent, 256, Initializer::HeNormal(latent)));
  layers.push_back(NewRelu());
  layers.push_back(NewDense(backend, "generator/dense2", 256, 512, Initializer::HeNormal(256)));
  layers.push_back(NewRelu());
  layers.push_back(
      NewDense(backend, "generator/dense3", 512, pixels, Initializer::GlorotUniform(512, pixels)));
  layers.push_back(NewTanh());
  layers.push_back(NewFunctionLayer([height, width, channels](const Variable& x) {
    return Reshape(x, {x.shape()[0], height, width, channels});
  }));
  return NewSequential(std::move(layers));
}

std::unique_ptr<Module> NewDiscriminator(Backend* backend, int64_t height, int64_t width,
                                         int64_t channels) {
  const int64_t pixels = height * width * channels;
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(NewFlatten());
  layers.push_back(
      NewDense(backend, "discriminator/dense1", pixels, 512, Initializer::HeNormal(pixels)));
  layers.push_back(NewLeakyRelu(0.2));
  layers.push_back(NewDropout("discriminator/dropout1", 0.3));
  layers.push_back(NewDense(backend, "discriminator/dense2", 512, 256, Initializer::HeNormal(512)));
  layers.push_back(NewLeakyRelu(0.2));
  layers.push_back(NewDropout("discriminator/dropout2", 0.3));
  layers.push_back(
      NewDense(backend, "discriminator/dense3", 256, 1, Initializer::GlorotUniform(256, 1)));
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
