#include "nn/variable.h"

#include "gtest/gtest.h"
#include "nn/functions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

TEST(VariableTest, GradientsAddUpUntilTheyAreCleared) {
  Variable x = Variable::Parameter(Tensor(CpuBackend(), {1}));
  x.value().data()[0] = 3;
  EXPECT_EQ(x.gradient().data()[0], 0);
  Backward(Mean(Multiply(x, x)));
  EXPECT_EQ(x.gradient().data()[0], 6);
  Backward(Mean(Add(x, x)));
  EXPECT_EQ(x.gradient().data()[0], 8);
  x.ClearGradient();
  Backward(Mean(Scale(x, 5)));
  EXPECT_EQ(x.gradient().data()[0], 5);
}

TEST(VariableTest, WorksInBorrowedMemory) {
  alignas(64) static float value[2] = {1, 2};
  alignas(64) static float gradient[2] = {9, 9};
  Variable x = Variable::Parameter(Tensor(CpuBackend(), {2}));
  x.Bind(Tensor::Borrow(CpuBackend(), {2}, value), Tensor::Borrow(CpuBackend(), {2}, gradient));
  Backward(Mean(Multiply(x, x)));
  EXPECT_EQ(gradient[0], 1);
  EXPECT_EQ(gradient[1], 2);
}

// A step that forgets its loss holds no memory of it.
TEST(VariableTest, TheGraphGoesWithItsLastVariable) {
  const Tensor big(CpuBackend(), {1 << 16});
  const Variable x = Variable::Parameter(big);
  const float* value;
  {
    const Variable y = Scale(x, 2);
    value = y.value().data();
    const Variable loss = Mean(y);
    Backward(loss);
  }
  Tensor a(CpuBackend(), {1 << 16}), b(CpuBackend(), {1 << 16}), c(CpuBackend(), {1 << 16});
  EXPECT_TRUE(a.data() == value || b.data() == value || c.data() == value);
}

TEST(VariableTest, InputsWantNoGradient) {
  const Variable input = Variable::Input(Tensor(CpuBackend(), {1}));
  EXPECT_FALSE(Scale(input, 2).wants_gradient());
  const Variable parameter = Variable::Parameter(Tensor(CpuBackend(), {1}));
  EXPECT_TRUE(Add(input, parameter).wants_gradient());
}

}  // namespace
}  // namespace parley::nn
