#include "nn/layers/sequential.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nn/init.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

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

}  // namespace
}  // namespace parley::nn
