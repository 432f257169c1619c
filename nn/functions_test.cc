#include "nn/functions.h"

#include "gtest/gtest.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

TEST_F(GradientTest, OfElementwiseFunctions) {
  const Shape shape = {Size(4), Size(5)};
  Check([](const Inputs& in) { return Add(in[0], in[1]); },
        {RandomParameter(shape, seed()), RandomParameter(shape, seed() + 1)});
  Check([](const Inputs& in) { return Multiply(in[0], in[1]); },
        {RandomParameter(shape, seed()), RandomParameter(shape, seed() + 1)});
  Check([](const Inputs& in) { return Multiply(in[0], in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Scale(in[0], -2.5f); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Mean(in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Relu(in[0]); }, {SpreadParameter(shape, seed())});
  Check([](const Inputs& in) { return Sigmoid(in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Tanh(in[0]); }, {RandomParameter(shape, seed())});
  Check([](const Inputs& in) { return Softmax(in[0]); }, {RandomParameter(shape, seed())});
}

TEST_F(GradientTest, OfProductsAndBiases) {
  const int64_t m = Size(4), k = Size(5), n = Size(6);
  Check([](const Inputs& in) { return AddBias(MatMul(in[0], in[1]), in[2]); },
        {RandomParameter({m, k}, seed()), RandomParameter({k, n}, seed() + 1),
         RandomParameter({n}, seed() + 2)});
}

TEST_F(GradientTest, OfConvolutions) {
  const int64_t in = Size(3), out = Size(3);
  for (const Window& window : {Window{3, 3, 1, 1}, Window{2, 3, 2, 0}, Window{1, 1, 1, 0}}) {
    Check([window](const Inputs& inputs) { return Conv2d(inputs[0], inputs[1], window); },
          {RandomParameter({Size(3), 5, 4, in}, seed()),
           RandomParameter({window.height, window.width, in, out}, seed() + 1)});
  }
}

TEST_F(GradientTest, OfMaxPooling) {
  for (const Window& window : {Window{2, 2, 2, 0}, Window{3, 2, 1, 1}}) {
    Check([window](const Inputs& in) { return MaxPool2d(in[0], window); },
          {SpreadParameter({Size(2), 4, 5, Size(3)}, seed())});
  }
}

TEST_F(GradientTest, OfReshapes) {
  // Its input is used twice, once before and once after: gradients add up whichever comes first.
  const auto both = [](const Inputs& in) {
    const Variable x = Scale(in[0], 3);
    return Add(Multiply(x, x), Reshape(Reshape(x, {4, 3}), {2, 6}));
  };
  Check(both, {RandomParameter({2, 6}, seed())});
  const auto swapped = [](const Inputs& in) {
    const Variable x = Scale(in[0], 3);
    return Add(Reshape(Reshape(x, {4, 3}), {2, 6}), Multiply(x, x));
  };
  Check(swapped, {RandomParameter({2, 6}, seed())});
}

TEST_F(GradientTest, OfValuesUsedMoreThanOnce) {
  Check([](const Inputs& in) { return Add(in[0], in[0]); }, {RandomParameter({3}, seed())});
  Check(
      [](const Inputs& in) {
        const Variable x = Scale(in[0], 2), y = Scale(in[1], -1);
        const Variable sum = Add(x, y);
        return Multiply(Add(sum, x), Add(y, sum));
      },
      {RandomParameter({3}, seed()), RandomParameter({3}, seed() + 1)});
  Check(
      [](const Inputs& in) {
        const Variable x = Scale(in[0], 2);
        return Add(Multiply(AddBias(x, in[1]), x), AddBias(AddBias(x, in[1]), in[1]));
      },
      {RandomParameter({2, 3}, seed()), RandomParameter({3}, seed() + 1)});
}

TEST(FunctionsDeathTest, NameShapesThatDoNotFit) {
  const Variable vector = RandomParameter({4}, 1), image = RandomParameter({1, 2, 2, 1}, 1);
  EXPECT_DEATH(MaxPool2d(vector, {2, 2, 2, 0}), "images are .*, not \\[4\\]");
  EXPECT_DEATH(MaxPool2d(image, {3, 3, 2, 0}), "a window of 3x3 with stride 2");
  EXPECT_DEATH(MaxPool2d(image, {2, 2, 0, 0}), "a window of 2x2 with stride 0");
}

}  // namespace
}  // namespace parley::nn
