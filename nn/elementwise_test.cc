#include "nn/elementwise.h"

#include <cmath>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

Tensor Floats(const Shape& shape, const std::vector<float>& values) {
  const Tensor tensor(CpuBackend(), shape);
  CpuBackend()->CopyFromHost(values.data(), tensor);
  return tensor;
}

std::vector<float> Values(const Tensor& tensor) {
  return {tensor.span().begin(), tensor.span().end()};
}

class ElementwiseTest : public GradientTest {
 protected:
  // Two shapes that can be broadcast together, each repeated somewhere.
  std::pair<Shape, Shape> BroadcastPair() {
    std::vector<int64_t> dimensions(static_cast<size_t>(UpTo(3)));
    for (int64_t& dimension : dimensions) dimension = UpTo(3);
    const auto narrowed = [&] {
      std::vector<int64_t> shape = dimensions;
      for (int64_t& dimension : shape) dimension = UpTo(2) == 0 ? 1 : dimension;
      if (UpTo(1) == 0) {
        shape.erase(shape.begin(), shape.begin() + UpTo(static_cast<int64_t>(shape.size())));
      }
      return Shape(shape);
    };
    const Shape first = narrowed();
    return {first, narrowed()};
  }
};

TEST_F(ElementwiseTest, GradientsOfBinaryFunctions) {
  for (int round = 0; round < 25; ++round) {
    const auto [a, b] = BroadcastPair();
    SCOPED_TRACE(a.ToString() + " and " + b.ToString());
    Check([](const Inputs& in) { return Add(in[0], in[1]); }, {Random(a), Random(b)});
    Check([](const Inputs& in) { return Subtract(in[0], in[1]); }, {Random(a), Random(b)});
    Check([](const Inputs& in) { return Multiply(in[0], in[1]); }, {Random(a), Random(b)});
    Check([](const Inputs& in) { return Divide(in[0], in[1]); }, {Random(a), Positive(b)});
  }
  for (const Shape& shape : ShapesOfRows()) {
    Check([](const Inputs& in) { return AddBias(in[0], in[1]); },
          {Random(shape), Random({shape.back()})});
  }
}

TEST_F(ElementwiseTest, GradientsOfUnaryFunctions) {
  for (const Shape& shape : Shapes()) {
    SCOPED_TRACE(shape.ToString());
    Check([](const Inputs& in) { return Scale(in[0], -2.5); }, {Random(shape)});
    Check([](const Inputs& in) { return Affine(in[0], 0.5, -3); }, {Random(shape)});
    Check([](const Inputs& in) { return Affine(in[0], 1, -3); }, {Random(shape)});
    for (Variable (*function)(const Variable&) :
         {Relu, Sigmoid, Tanh, Gelu, Exp, Square, Softplus}) {
      Check([function](const Inputs& in) { return function(in[0]); }, {Random(shape)});
    }
    for (Variable (*function)(const Variable&) : {Log, Sqrt}) {
      Check([function](const Inputs& in) { return function(in[0]); }, {Positive(shape)});
    }
    const uint64_t key = seed();
    Check([key](const Inputs& in) { return Dropout(in[0], 0.4, key, 3); }, {Random(shape)});
  }
}

// A gradient that is shared, or comes before or after another, is never written to by one of those
// that share it.
TEST_F(ElementwiseTest, GradientsOfValuesUsedMoreThanOnce) {
  const auto twice = [this](const std::function<Variable(const Variable&, const Variable&)>& f) {
    Check([&](const Inputs& in) { return f(in[0], in[0]); }, {Positive({3})});
    // Of computed values, whose gradients are handed on instead of copied.
    Check(
        [&](const Inputs& in) {
          const Variable x = Scale(in[0], 2), y = Scale(in[1], 1.5);
          const Variable both = f(x, y);
          return Multiply(Add(both, x), Add(y, both));
        },
        {Positive({3}), Positive({3})});
    Check(
        [&](const Inputs& in) {
          const Variable x = Scale(in[0], 2);
          return Add(Multiply(f(x, x), x), Add(x, AddBias(AddBias(x, in[1]), in[1])));
        },
        {Positive({2, 3}), Positive({3})});
    Check(
        [&](const Inputs& in) {
          const Variable x = Scale(in[0], 2);
          const Variable y = Add(x, Square(x));
          return f(Add(y, x), Add(x, y));
        },
        {Positive({2, 3})});
  };
  twice(Add);
  twice(Subtract);
  twice(Multiply);
  twice(Divide);
}

TEST(CastTest, Rounds) {
  const Variable x = Variable::Input(Floats({3}, {1.0f + 1.0f / 512, -3, 1e6f}));
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    const Variable y = Cast(x, dtype);
    EXPECT_EQ(y.dtype(), dtype);
    const std::vector<float> back = Values(Cast(y, DType::kFloat32).value());
    EXPECT_EQ(back[0], dtype == DType::kFloat16 ? 1.0f + 1.0f / 512 : 1.0f);
    EXPECT_EQ(back[1], -3);
    EXPECT_EQ(std::isinf(back[2]), dtype == DType::kFloat16);
  }
  EXPECT_EQ(Cast(x, DType::kFloat32).id(), x.id());
}

TEST(CastTest, GradientsHaveTheirVariablesDType) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16}) {
    const Variable x = Variable::Parameter(Floats({1}, {3}));
    const Variable narrow = Cast(x, dtype);
    Backward(Multiply(narrow, narrow));
    EXPECT_EQ(x.gradient().dtype(), DType::kFloat32);
    EXPECT_EQ(x.gradient().data()[0], 6) << NameOf(dtype);
  }
}

TEST(DropoutTest, DropsAShareAndKeepsTheMean) {
  const Tensor ones(CpuBackend(), {1 << 14});
  CpuBackend()->Fill(1, ones);
  const Variable x = Variable::Input(ones);
  const std::vector<float> y = Values(Dropout(x, 0.25, 5, 1).value());
  int dropped = 0;
  for (const float value : y) {
    dropped += value == 0 ? 1 : 0;
    EXPECT_TRUE(value == 0 || std::fabs(value - 4.0f / 3) < 1e-6f) << value;
  }
  EXPECT_NEAR(dropped / 16384.0, 0.25, 0.02);  // six standard deviations; and the seed is fixed
  EXPECT_EQ(Values(Dropout(x, 0.25, 5, 1).value()), y);
  EXPECT_NE(Values(Dropout(x, 0.25, 5, 2).value()), y);
  EXPECT_NE(Values(Dropout(x, 0.25, 6, 1).value()), y);
  EXPECT_EQ(Dropout(x, 0, 5, 1).id(), x.id());
}

TEST(DetachTest, StopsTheGradient) {
  const Variable x = Variable::Parameter(Floats({1}, {3}));
  EXPECT_FALSE(Detach(Scale(x, 2)).wants_gradient());
  Backward(Multiply(x, Detach(x)));
  EXPECT_EQ(x.gradient().data()[0], 3);
}

TEST(ElementwiseDeathTest, NamesWhatDoesNotFit) {
  const Variable a = RandomParameter({4, 3}, 1), b = RandomParameter({4}, 1);
  EXPECT_DEATH(Add(a, b), "\\[4, 3\\] and \\[4\\] cannot be broadcast");
  EXPECT_DEATH(AddBias(a, b), "a bias \\[4\\] for \\[4, 3\\]");
  EXPECT_DEATH(Add(a, Cast(a, DType::kFloat32)), "float64 and float32");
  EXPECT_DEATH(Dropout(a, 1, 0, 0), "a dropout rate of 1");
}

}  // namespace
}  // namespace parley::nn
