#include "nn/layout.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

using LayoutTest = GradientTest;

Variable Counted(const Shape& shape) {
  const Tensor x(CpuBackend(), shape);
  std::iota(x.data(), x.data() + x.num_elements(), 0.0f);
  return Variable::Input(x);
}

std::vector<float> Values(const Variable& x) {
  return {x.value().span().begin(), x.value().span().end()};
}

// A reshaped gradient is the other's memory: gradients add up whichever comes first.
TEST_F(LayoutTest, GradientsOfReshapes) {
  const auto both = [](const Inputs& in) {
    const Variable x = Scale(in[0], 3);
    return Add(Multiply(x, x), Reshape(Reshape(x, {4, 3}), {2, 6}));
  };
  Check(both, {Random({2, 6})});
  const auto swapped = [](const Inputs& in) {
    const Variable x = Scale(in[0], 3);
    return Add(Reshape(Reshape(x, {4, 3}), {2, 6}), Multiply(x, x));
  };
  Check(swapped, {Random({2, 6})});
  Check([](const Inputs& in) { return Reshape(in[0], {0, 7}); }, {Random({3, 0})});
}

TEST_F(LayoutTest, GradientsOfPermutations) {
  for (const Shape& shape : Shapes()) {
    std::vector<int> axes(shape.rank());
    std::iota(axes.begin(), axes.end(), 0);
    do {
      Check([&](const Inputs& in) { return Permute(in[0], axes); }, {Random(shape)});
    } while (std::next_permutation(axes.begin(), axes.end()));
    if (shape.rank() >= 2) {
      Check([](const Inputs& in) { return Transpose(Square(in[0])); }, {Random(shape)});
    }
  }
}

TEST_F(LayoutTest, GradientsOfParts) {
  for (const Shape& shape : ShapesOfRows()) {
    SCOPED_TRACE(shape.ToString());
    for (int axis = 0; axis < static_cast<int>(shape.rank()); ++axis) {
      const int64_t size = shape[static_cast<size_t>(axis)];
      const int64_t begin = UpTo(size), count = UpTo(size - begin);
      Check([&](const Inputs& in) { return Slice(in[0], axis, begin, count); }, {Random(shape)});
      std::vector<int64_t> other = shape.ToVector();
      other[static_cast<size_t>(axis)] = UpTo(3);
      Check(
          [&](const Inputs& in) {
            return Concat({in[0], in[1], in[0]}, axis);
          },
          {Random(shape), Random(Shape(other))});
      Check(
          [&](const Inputs& in) {
            const Variable x = Scale(in[0], 2);
            std::vector<Variable> parts = Split(x, axis, {begin, count, size - begin - count});
            parts[0] = Square(parts[0]);
            std::swap(parts[0], parts[2]);
            const Variable whole = Concat({parts[0], parts[1], parts[2]}, axis);
            return Multiply(whole, x);
          },
          {Random(shape)});
    }
  }
}

TEST_F(LayoutTest, GradientsOfGatheredRows) {
  for (const int64_t width : {int64_t{0}, int64_t{1}, Size(4)}) {
    for (const Shape& shape : Shapes()) {
      const int64_t rows = Size(4);
      const Tensor narrow(CpuBackend(), shape, DType::kInt32);
      const Tensor wide(CpuBackend(), shape, DType::kInt64);
      for (int64_t i = 0; i < narrow.num_elements(); ++i) {
        const int64_t row = UpTo(rows - 1);  // some twice
        narrow.int_data()[i] = static_cast<int32_t>(row);
        wide.As<int64_t>()[i] = row;
      }
      for (const Tensor& indices : {narrow, wide}) {
        // Twice, so that the second adds to the first.
        Check(
            [&](const Inputs& in) {
              const Variable once = GatherRows(in[0], indices);
              return Add(once, Square(GatherRows(in[0], indices)));
            },
            {Random({rows, width})});
      }
    }
  }
}

TEST(LayoutValuesTest, MovesElements) {
  EXPECT_EQ(Values(Transpose(Counted({2, 3}))), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(Permute(Counted({2, 3, 4}), {2, 0, 1}).shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(Values(Slice(Counted({2, 3}), -1, 1, 2)), (std::vector<float>{1, 2, 4, 5}));
  EXPECT_EQ(Values(Concat({Counted({2, 1}), Counted({2, 2})}, 1)),
            (std::vector<float>{0, 0, 1, 1, 2, 3}));
  const std::vector<Variable> parts = Split(Counted({3, 2}), 0, {1, 2});
  EXPECT_EQ(Values(parts[1]), (std::vector<float>{2, 3, 4, 5}));
  const Tensor indices(CpuBackend(), {2, 1}, DType::kInt32);
  indices.int_data()[0] = 2;
  indices.int_data()[1] = 0;
  const Variable rows = GatherRows(Counted({3, 2}), indices);
  EXPECT_EQ(rows.shape(), (Shape{2, 1, 2}));
  EXPECT_EQ(Values(rows), (std::vector<float>{4, 5, 0, 1}));
}

TEST(LayoutDeathTest, NamesWhatDoesNotFit) {
  const Variable x = RandomParameter({2, 3}, 1), y = RandomParameter({2, 2}, 1);
  EXPECT_DEATH(Reshape(x, {5}), "\\[2, 3\\] as \\[5\\]");
  EXPECT_DEATH(Permute(x, {0, 0}), "axis 0 of \\[2, 3\\] twice");
  EXPECT_DEATH(Slice(x, 1, 2, 2), "2 places from 2 of axis 1 of \\[2, 3\\]");
  EXPECT_DEATH(Slice(x, 2, 0, 0), "axis 2 of \\[2, 3\\]");
  EXPECT_DEATH(Concat({x, y}, 0), "\\[2, 3\\] and \\[2, 2\\] along axis 0");
  EXPECT_DEATH(Concat({x, Cast(x, DType::kFloat32)}, 0), "float64\\[2, 3\\] and float32\\[2, 3\\]");
  EXPECT_DEATH(Split(x, 1, {1, 1}), "sizes of slices of \\[2, 3\\] along axis 1");
}

}  // namespace
}  // namespace parley::nn
