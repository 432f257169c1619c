#include "nn/layers/recurrent.h"

#include <vector>

#include "gtest/gtest.h"
#include "nn/init.h"
#include "nn/reductions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

std::vector<std::unique_ptr<Module>> Both() {
  std::vector<std::unique_ptr<Module>> both;
  both.push_back(NewLstm(CpuBackend(), "lstm", 3, 4));
  both.push_back(NewGru(CpuBackend(), "gru", 3, 4));
  for (const auto& layer : both) InitializeParameters(layer.get(), 1);
  return both;
}

TEST(RecurrentTest, EmptyBatchesAndTimesAreEmptyOutputs) {
  for (const auto& layer : Both()) {
    for (const Shape& shape : {Shape{0, 2, 3}, Shape{2, 0, 3}}) {
      const Variable y = layer->Forward(Variable::Parameter(Tensor(CpuBackend(), shape)));
      EXPECT_EQ(y.shape(), (Shape{shape[0], shape[1], 4}));
      Backward(Sum(y));
    }
  }
}

// A state says something of an input that came earlier, and nothing of one to come.
TEST(RecurrentTest, StatesDependOnWhatCameBefore) {
  for (const auto& layer : Both()) {
    const Tensor x(CpuBackend(), {1, 3, 3});
    CpuBackend()->Fill(0.5, x);
    const Tensor before = layer->Forward(Variable::Input(x)).value();
    x.data()[3] = 2;  // of the second time
    const Tensor after = layer->Forward(Variable::Input(x)).value();
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(before.data()[i], after.data()[i]);
      EXPECT_NE(before.data()[4 + i], after.data()[4 + i]);
      EXPECT_NE(before.data()[8 + i], after.data()[8 + i]);
    }
  }
}

}  // namespace
}  // namespace parley::nn
