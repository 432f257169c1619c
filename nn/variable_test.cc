#include "nn/variable.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "nn/functions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

Tensor Floats(const std::vector<float>& values) {
  const Tensor tensor(CpuBackend(), {static_cast<int64_t>(values.size())});
  CpuBackend()->CopyFromHost(values.data(), tensor);
  return tensor;
}

TEST(VariableTest, GradientsAddUpUntilTheyAreCleared) {
  Variable x = Variable::Parameter(Floats({3}));
  EXPECT_EQ(x.gradient().data()[0], 0);
  Backward(Mean(Multiply(x, x)));
  EXPECT_EQ(x.gradient().data()[0], 6);
  Backward(Mean(Add(x, x)));
  EXPECT_EQ(x.gradient().data()[0], 8);
  Backward(x);
  EXPECT_EQ(x.gradient().data()[0], 9);
  x.ClearGradient();
  Backward(Mean(Scale(x, 5)));
  EXPECT_EQ(x.gradient().data()[0], 5);
}

TEST(VariableTest, WorksInBorrowedMemory) {
  alignas(64) static float value[2] = {1, 2};
  alignas(64) static float gradient[2] = {9, 9};
  Variable x = Variable::Parameter(Tensor(CpuBackend(), {2}));
  const Variable copy = x;
  x.Bind(Tensor::Borrow(CpuBackend(), {2}, value), Tensor::Borrow(CpuBackend(), {2}, gradient));
  Backward(Mean(Multiply(copy, copy)));
  EXPECT_EQ(gradient[0], 1);
  EXPECT_EQ(gradient[1], 2);
  x.ClearGradient();
  Backward(Sum(Add(x, Reshape(x, {2}))));
  EXPECT_EQ(gradient[0], 2);
}

// A step that forgets its loss holds no memory of it.
TEST(VariableTest, TheGraphGoesWithItsLastVariable) {
  const Variable x = Variable::Parameter(Floats({1, 2}));
  Tensor kept;
  {
    const Variable y = Exp(x);  // kept for its gradient
    kept = y.value();
    const Variable loss = Mean(y);
    EXPECT_FALSE(kept.unique());
  }
  EXPECT_TRUE(kept.unique());
}

// Values that no gradient needs are gone before the backward pass, the others during it.
TEST(VariableTest, AGraphKeepsOnlyWhatItsGradientsNeed) {
  const Variable x = Variable::Parameter(Floats({1, 2}));
  Tensor sum, root, product;
  Variable loss;
  {
    const Variable a = Add(x, x);
    const Variable b = Sqrt(a);
    const Variable c = Scale(b, 3);
    sum = a.value();
    root = b.value();
    product = c.value();
    loss = Mean(c);
  }
  EXPECT_TRUE(sum.unique());
  EXPECT_FALSE(root.unique());
  EXPECT_TRUE(product.unique());
  Backward(loss);
  EXPECT_TRUE(root.unique());
  EXPECT_NEAR(x.gradient().data()[1], 1.5 / std::sqrt(4.0), 1e-6);
}

TEST(VariableTest, InputsWantNoGradient) {
  const Variable input = Variable::Input(Tensor(CpuBackend(), {1}));
  EXPECT_FALSE(Scale(input, 2).wants_gradient());
  const Variable parameter = Variable::Parameter(Tensor(CpuBackend(), {1}));
  EXPECT_TRUE(Add(input, parameter).wants_gradient());
  {
    const NoGradientScope scope;
    EXPECT_FALSE(Add(input, parameter).wants_gradient());
    EXPECT_TRUE(parameter.wants_gradient());
    const NoGradientScope inner;
    EXPECT_FALSE(Scale(parameter, 2).wants_gradient());
  }
  EXPECT_TRUE(Scale(parameter, 2).wants_gradient());
}

// Each parameter is ready when the last function that used it was run, and its gradient is then
// what it will be.
TEST(BackwardTest, TellsWhenEachGradientIsFinal) {
  const Variable first = Variable::Parameter(Floats({2})),
                 middle = Variable::Parameter(Floats({3})), last = Variable::Parameter(Floats({5})),
                 unused = Variable::Parameter(Floats({7}));
  // `middle` is used again at the beginning.
  const Variable x = Multiply(Multiply(first, middle), middle);
  const Variable loss = Multiply(x, last);
  std::vector<const void*> order;
  std::vector<float> gradients;
  Backward(loss, [&](const Variable& parameter) {
    order.push_back(parameter.id());
    gradients.push_back(parameter.gradient().data()[0]);
  });
  ASSERT_EQ(order.size(), 3u);
  EXPECT_EQ(order[0], last.id());
  // Both by the first product; which of them comes first is not said.
  EXPECT_TRUE((order[1] == middle.id() && order[2] == first.id()) ||
              (order[1] == first.id() && order[2] == middle.id()));
  EXPECT_EQ(gradients[0], 18);
  for (const Variable& each : {first, middle}) {
    EXPECT_EQ(gradients[order[1] == each.id() ? 1 : 2], each.gradient().data()[0]);
  }
  EXPECT_EQ(middle.gradient().data()[0], 2 * 2 * 3 * 5);
  EXPECT_EQ(unused.gradient().data()[0], 0);
}

// The gradients of later layers are there before those of the first are computed.
TEST(BackwardTest, TellsOfEarlyGradientsWhileOthersAreNotYetComputed) {
  std::vector<Variable> layers;
  Variable x = Variable::Input(Floats({1}));
  for (int i = 0; i < 5; ++i) {
    layers.push_back(Variable::Parameter(Floats({2})));
    x = Tanh(Multiply(x, layers.back()));
  }
  // What a parameter's gradient holds from before must not be taken for a new one.
  const float kMark = 1e9f;
  std::vector<Tensor> memory;
  for (Variable& layer : layers) {
    memory.push_back(layer.gradient());
    memory.back().data()[0] = kMark;
    layer.ClearGradient();
  }
  size_t at = layers.size();
  Backward(x, [&](const Variable& parameter) {
    --at;
    ASSERT_EQ(parameter.id(), layers[at].id());
    EXPECT_LT(parameter.gradient().data()[0], 2);
    for (size_t i = 0; i < at; ++i) EXPECT_EQ(memory[i].data()[0], kMark);
  });
  EXPECT_EQ(at, 0u);
}

TEST(BackwardTest, BeginsWithAScale) {
  const Variable x = Variable::Parameter(Floats({3}));
  int ready = 0;
  Backward(Multiply(x, x), {1024, [&](const Variable&) { ++ready; }});
  EXPECT_EQ(x.gradient().data()[0], 6 * 1024);
  EXPECT_EQ(ready, 1);
  Variable again = x;
  again.ClearGradient();
  Backward(x, {2, [&](const Variable&) { ++ready; }});
  EXPECT_EQ(x.gradient().data()[0], 2);
  EXPECT_EQ(ready, 2);
}

// Far more functions in a row than a stack has room for, run backward or not.
TEST(BackwardTest, WorksOnGraphsOfAnyDepth) {
  const Variable x = Variable::Parameter(Floats({1}));
  for (const bool backward : {true, false}) {
    Variable y = x;
    for (int i = 0; i < 50000; ++i) y = Add(y, y.id() == x.id() ? x : Detach(x));
    if (backward) Backward(y);
  }
  EXPECT_EQ(x.gradient().data()[0], 2);
}

TEST(BackwardDeathTest, RefusesWhatWasRunBackwardBefore) {
  const Variable x = Variable::Parameter(Floats({3}));
  const Variable y = Scale(x, 2);
  Backward(Multiply(y, y));
  EXPECT_DEATH(Backward(Multiply(y, y)), "run backward twice");
  EXPECT_DEATH(Backward(Variable::Parameter(Floats({1, 2}))), "a scalar, not \\[2\\]");
}

}  // namespace
}  // namespace parley::nn
