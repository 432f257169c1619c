#include "tensor/cpu_conv2d.h"

#include <algorithm>
#include <cstring>

#include "gtest/gtest.h"
#include "tensor/integer_tensors.h"

namespace parley {
namespace {

struct Convolution {
  int64_t batch, height, width, inputs, outputs;
  Window window;

  Shape x() const { return {batch, height, width, inputs}; }
  Shape filter() const { return {window.height, window.width, inputs, outputs}; }
  Shape y() const {
    return {batch, window.OutputHeight(height), window.OutputWidth(width), outputs};
  }

  // visit(index in x, in filter, in y) for each product of the definition.
  template <typename Visit>
  void ForEachProduct(Visit visit) const {
    const Shape out = y();
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t oy = 0; oy < out[1]; ++oy) {
        for (int64_t ox = 0; ox < out[2]; ++ox) {
          for (int64_t ky = 0; ky < window.height; ++ky) {
            for (int64_t kx = 0; kx < window.width; ++kx) {
              const int64_t row = oy * window.stride - window.padding + ky;
              const int64_t column = ox * window.stride - window.padding + kx;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (int64_t i = 0; i < inputs; ++i) {
                for (int64_t o = 0; o < outputs; ++o) {
                  visit(((n * height + row) * width + column) * inputs + i,
                        ((ky * window.width + kx) * inputs + i) * outputs + o,
                        ((n * out[1] + oy) * out[2] + ox) * outputs + o);
                }
              }
            }
          }
        }
      }
    }
  }
};

class CpuConv2dTest : public testing::TestWithParam<DType> {
 protected:
  Tensor Random(const Shape& shape) { return RandomIntegers(shape, GetParam(), &random_); }
  int64_t Between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  void Check(const Convolution& c) {
    SCOPED_TRACE(testing::Message()
                 << "x " << c.x().ToString() << " filter " << c.filter().ToString() << " stride "
                 << c.window.stride << " padding " << c.window.padding);
    const Tensor x = Random(c.x()), filter = Random(c.filter()), dy = Random(c.y());
    const std::vector<double> xs = ToDoubles(x), filters = ToDoubles(filter), dys = ToDoubles(dy);

    const Tensor y = NanTensor(c.y(), GetParam());
    CpuConv2d(x, filter, c.window, y);
    std::vector<double> sum(y.num_elements(), 0);
    c.ForEachProduct([&](int64_t i, int64_t j, int64_t k) { sum[k] += xs[i] * filters[j]; });
    EXPECT_EQ(ToDoubles(y), Rounded(sum, GetParam()));

    for (const Write write : {Write::kReplace, Write::kAdd}) {
      const bool adds = write == Write::kAdd;
      SCOPED_TRACE(adds ? "adds" : "replaces");
      const Tensor dx = adds ? Random(c.x()) : NanTensor(c.x(), GetParam());
      sum = adds ? ToDoubles(dx) : std::vector<double>(dx.num_elements(), 0);
      CpuConv2dInputGradient(dy, filter, c.window, write, dx);
      c.ForEachProduct([&](int64_t i, int64_t j, int64_t k) { sum[i] += dys[k] * filters[j]; });
      EXPECT_EQ(ToDoubles(dx), Rounded(sum, GetParam()));

      const Tensor dfilter = adds ? Random(c.filter()) : NanTensor(c.filter(), GetParam());
      sum = adds ? ToDoubles(dfilter) : std::vector<double>(dfilter.num_elements(), 0);
      CpuConv2dFilterGradient(x, dy, c.window, write, dfilter);
      c.ForEachProduct([&](int64_t i, int64_t j, int64_t k) { sum[j] += dys[k] * xs[i]; });
      EXPECT_EQ(ToDoubles(dfilter), Rounded(sum, GetParam()));
    }
  }

  std::mt19937 random_{NewSeed()};
};

TEST_P(CpuConv2dTest, RandomSizesWithEmptyOnes) {
  for (int i = 0; i < 120; ++i) {
    Convolution c = {Between(0, 4),  Between(1, 9),  Between(1, 9),
                     Between(0, 19), Between(0, 19), {}};
    c.window = {Between(1, 4), Between(1, 4), Between(1, 3), Between(0, 3)};
    if (c.window.Fits(c.height, c.width)) Check(c);
  }
}

TEST_P(CpuConv2dTest, ShapesOfModels) {
  Check({2, 12, 12, 1, 16, {3, 3, 1, 1}});
  Check({3, 6, 6, 16, 32, {3, 3, 1, 1}});
  Check({9, 4, 4, 33, 17, {3, 3, 1, 1}});
  Check({2, 8, 8, 16, 32, {3, 3, 2, 1}});
  Check({2, 8, 8, 16, 32, {1, 1, 2, 0}});
  Check({1, 9, 9, 3, 6, {5, 5, 1, 0}});
}

TEST_P(CpuConv2dTest, ImagesLargerThanAGroup) {
  Check({1, 30, 40, 3, 5, {3, 3, 1, 1}});
  Check({3, 33, 21, 7, 2, {2, 3, 2, 1}});
}

INSTANTIATE_TEST_SUITE_P(Types, CpuConv2dTest,
                         testing::Values(DType::kFloat32, DType::kFloat64, DType::kBFloat16,
                                         DType::kFloat16),
                         [](const auto& info) { return NameOf(info.param); });

TEST(CpuConv2dDeterminismTest, AnImageDoesNotDependOnTheOthers) {
  std::mt19937 random(NewSeed());
  std::normal_distribution<float> normal;
  const Window window = {3, 3, 1, 1};
  const Tensor x(NanTensor({70, 5, 6, 9}, DType::kFloat32));
  const Tensor filter(NanTensor({3, 3, 9, 20}, DType::kFloat32));
  for (float& value : x.span()) value = normal(random);
  for (float& value : filter.span()) value = normal(random);
  const Tensor y(NanTensor({70, 5, 6, 20}, DType::kFloat32));
  CpuConv2d(x, filter, window, y);
  const Tensor image(NanTensor({1, 5, 6, 9}, DType::kFloat32));
  const Tensor one(NanTensor({1, 5, 6, 20}, DType::kFloat32));
  for (int64_t i = 0; i < 70; ++i) {
    std::copy_n(x.data() + i * image.num_elements(), image.num_elements(), image.data());
    CpuConv2d(image, filter, window, one);
    EXPECT_EQ(std::memcmp(one.data(), y.data() + i * one.num_elements(), one.bytes()), 0) << i;
  }
}

}  // namespace
}  // namespace parley
