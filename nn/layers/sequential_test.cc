#include "nn/layers/sequential.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/layers/dense.h"
#include "nn/layers/function_layer.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

std::unique_ptr<Module> Shift(double scale, double shift) {
  return NewFunctionLayer([=](const Variable& x) { return Affine(x, scale, shift); });
}

TEST(SequentialTest, LayersFollowEachOther) {
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(Shift(2, 0));
  layers.push_back(Shift(1, 3));
  const Tensor x(CpuBackend(), {1});
  x.data()[0] = 5;
  EXPECT_EQ(NewSequential(std::move(layers))->Forward(Variable::Input(x)).value().data()[0], 13);
}

TEST(SequentialTest, ParametersAreInTheOrderOfTheLayers) {
  std::vector<std::unique_ptr<Module>> layers;
  for (const char* name : {"b", "a"}) {
    layers.push_back(NewDense(CpuBackend(), name, 2, 2, Initializer::Zeros()));
    layers.push_back(Shift(1, 0));
  }
  std::vector<std::string> names;
  for (const Parameter& each : NewSequential(std::move(layers))->parameters()) {
    names.push_back(each.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"b/kernel", "b/bias", "a/kernel", "a/bias"}));
}

}  // namespace
}  // namespace parley::nn
