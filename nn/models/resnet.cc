#include "nn/models/resnet.h"

#include <string>
#include <utility>
#include <vector>

#include "nn/layers/activations.h"
#include "nn/layers/batch_norm2d.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/residual.h"
#include "nn/layers/sequential.h"

namespace parley::nn {
namespace {

using Layers = std::vector<std::unique_ptr<Module>>;

// A convolution whose window of `size` keeps the image's size, divided by `stride`, normalised.
void AddConvolution(Backend* backend, const std::string& prefix, const std::string& number,
                    int64_t size, int64_t stride, int64_t inputs, int64_t outputs, Layers* layers) {
  const Window window = {size, size, stride, /*padding=*/size / 2};
  layers->push_back(NewConv2dWithoutBias(backend, prefix + "/conv" + number, window, inputs,
                                         outputs, Initializer::HeNormal(size * size * inputs)));
  layers->push_back(NewBatchNorm2d(backend, prefix + "/norm" + number, outputs));
}

// Two convolutions 3x3 around which the input is added; through a convolution 1x1 where they
// change its shape.
void AddBasicBlock(Backend* backend, const std::string& name, int64_t stride, int64_t inputs,
                   int64_t outputs, Layers* layers) {
  Layers body;
  AddConvolution(backend, name, "1", 3, stride, inputs, outputs, &body);
  body.push_back(NewRelu());
  AddConvolution(backend, name, "2", 3, 1, outputs, outputs, &body);
  std::unique_ptr<Module> shortcut;
  if (stride != 1 || inputs != outputs) {
    Layers projection;
    AddConvolution(backend, name + "/shortcut", "", 1, stride, inputs, outputs, &projection);
    shortcut = NewSequential(std::move(projection));
  }
  layers->push_back(NewResidual(NewSequential(std::move(body)), std::move(shortcut)));
  layers->push_back(NewRelu());
}

}  // namespace

std::unique_ptr<Module> NewResnet18(Backend* backend, int64_t channels, int64_t outputs) {
  Layers layers;
  AddConvolution(backend, "stem", "", 3, 1, channels, 64, &layers);
  layers.push_back(NewRelu());
  int64_t inputs = 64;
  for (int64_t stage = 1; stage <= 4; ++stage) {
    const int64_t width = int64_t{32} << stage;
    const std::string name = "stage" + std::to_string(stage);
    AddBasicBlock(backend, name + "/block1", stage == 1 ? 1 : 2, inputs, width, &layers);
    AddBasicBlock(backend, name + "/block2", 1, width, width, &layers);
    inputs = width;
  }
  layers.push_back(NewGlobalAvgPool2d());
  layers.push_back(
      NewDense(backend, "dense", inputs, outputs, Initializer::GlorotUniform(inputs, outputs)));
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
