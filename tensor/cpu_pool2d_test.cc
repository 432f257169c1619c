#include "tensor/cpu_pool2d.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tensor/cpu_backend.h"
#include "tensor/integer_tensors.h"

namespace parley {
namespace {

struct Pooling {
  int64_t batch, height, width, channels;
  Window window;

  Shape x() const { return {batch, height, width, channels}; }
  Shape y() const {
    return {batch, window.OutputHeight(height), window.OutputWidth(width), channels};
  }

  // visit(index in x, in y, place) for each pixel in each window.
  template <typename Visit>
  void ForEachPixel(Visit visit) const {
    const Shape out = y();
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t oy = 0; oy < out[1]; ++oy) {
        for (int64_t ox = 0; ox < out[2]; ++ox) {
          for (int64_t c = 0; c < channels; ++c) {
            for (int64_t ky = 0; ky < window.height; ++ky) {
              for (int64_t kx = 0; kx < window.width; ++kx) {
                const int64_t row = oy * window.stride - window.padding + ky;
                const int64_t column = ox * window.stride - window.padding + kx;
                if (row < 0 || row >= height || column < 0 || column >= width) continue;
                visit(((n * height + row) * width + column) * channels + c,
                      ((n * out[1] + oy) * out[2] + ox) * channels + c, row * width + column);
              }
            }
          }
        }
      }
    }
  }
};

class CpuPool2dTest : public testing::TestWithParam<DType> {
 protected:
  Tensor Random(const Shape& shape) { return RandomIntegers(shape, GetParam(), &random_); }
  int64_t Between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  void CheckMax(const Pooling& p) {
    const Tensor x = Random(p.x()), dy = Random(p.y());
    const Tensor y = NanTensor(p.y(), GetParam());
    const Tensor argmax(CpuBackend(), p.y(), DType::kInt32);
    CpuMaxPool2d(x, p.window, y, argmax);
    const std::vector<double> xs = ToDoubles(x), dys = ToDoubles(dy);
    std::vector<double> best(y.num_elements(), -std::numeric_limits<double>::infinity());
    std::vector<int32_t> place(y.num_elements(), -1);
    std::vector<int64_t> from(y.num_elements(), -1);
    p.ForEachPixel([&](int64_t i, int64_t o, int64_t at) {
      if (xs[i] <= best[o]) return;
      best[o] = xs[i];
      place[o] = static_cast<int32_t>(at);
      from[o] = i;
    });
    EXPECT_EQ(ToDoubles(y), best);
    const auto* places = argmax.As<int32_t>();
    EXPECT_EQ(std::vector<int32_t>(places, places + argmax.num_elements()), place);
    for (const Write write : {Write::kReplace, Write::kAdd}) {
      const bool adds = write == Write::kAdd;
      const Tensor dx = adds ? Random(p.x()) : NanTensor(p.x(), GetParam());
      std::vector<double> sum = adds ? ToDoubles(dx) : std::vector<double>(dx.num_elements(), 0);
      for (size_t o = 0; o < from.size(); ++o) sum[from[o]] += dys[o];
      CpuMaxPool2dGradient(dy, argmax, p.window, write, dx);
      EXPECT_EQ(ToDoubles(dx), Rounded(sum, GetParam()));
    }
  }

  // Of a window whose size is a power of two, so that shares are exact.
  void CheckAvg(const Pooling& p) {
    const Tensor x = Random(p.x()), dy = Random(p.y());
    const Tensor y = NanTensor(p.y(), GetParam());
    CpuAvgPool2d(x, p.window, y);
    const std::vector<double> xs = ToDoubles(x), dys = ToDoubles(dy);
    const double share = 1.0 / static_cast<double>(p.window.height * p.window.width);
    std::vector<double> sum(y.num_elements(), 0);
    p.ForEachPixel([&](int64_t i, int64_t o, int64_t) { sum[o] += xs[i] * share; });
    EXPECT_EQ(ToDoubles(y), Rounded(sum, GetParam()));
    for (const Write write : {Write::kReplace, Write::kAdd}) {
      const bool adds = write == Write::kAdd;
      const Tensor dx = adds ? Random(p.x()) : NanTensor(p.x(), GetParam());
      sum = adds ? ToDoubles(dx) : std::vector<double>(dx.num_elements(), 0);
      p.ForEachPixel([&](int64_t i, int64_t o, int64_t) { sum[i] += dys[o] * share; });
      CpuAvgPool2dGradient(dy, p.window, write, dx);
      EXPECT_EQ(ToDoubles(dx), Rounded(sum, GetParam()));
    }
  }

  std::mt19937 random_{NewSeed()};
};

TEST_P(CpuPool2dTest, MaximaOfRandomSizesWithEmptyOnes) {
  for (int i = 0; i < 150; ++i) {
    Pooling p = {Between(0, 3), Between(1, 9), Between(1, 9), Between(0, 18), {}};
    p.window = {Between(1, 4), Between(1, 4), Between(1, 4), 0};
    p.window.padding = Between(0, std::min(p.window.height, p.window.width) - 1);
    SCOPED_TRACE(testing::Message()
                 << p.x().ToString() << " window " << p.window.height << "x" << p.window.width
                 << " stride " << p.window.stride << " padding " << p.window.padding);
    if (p.window.Fits(p.height, p.width)) CheckMax(p);
  }
}

TEST_P(CpuPool2dTest, MeansOfRandomSizesWithEmptyOnes) {
  for (int i = 0; i < 150; ++i) {
    Pooling p = {Between(0, 3), Between(1, 9), Between(1, 9), Between(0, 18), {}};
    p.window = {int64_t{1} << Between(0, 2), int64_t{1} << Between(0, 2), Between(1, 4),
                Between(0, 4)};
    SCOPED_TRACE(testing::Message()
                 << p.x().ToString() << " window " << p.window.height << "x" << p.window.width
                 << " stride " << p.window.stride << " padding " << p.window.padding);
    if (p.window.Fits(p.height, p.width)) CheckAvg(p);
  }
}

TEST_P(CpuPool2dTest, NanAlwaysWins) {
  for (int64_t at = 0; at < 4; ++at) {
    const Tensor x = Random({1, 2, 2, 1});
    const Tensor mark = NanTensor({1}, GetParam());
    std::copy_n(mark.As<char>(), mark.bytes(),
                x.As<char>() + at * static_cast<int64_t>(mark.bytes()));
    const Tensor y = Random({1, 1, 1, 1}), argmax(CpuBackend(), {1, 1, 1, 1}, DType::kInt32);
    CpuMaxPool2d(x, {2, 2, 2, 0}, y, argmax);
    EXPECT_TRUE(std::isnan(ToDoubles(y)[0]));
    EXPECT_EQ(argmax.As<int32_t>()[0], at);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CpuPool2dTest,
                         testing::Values(DType::kFloat32, DType::kFloat64, DType::kBFloat16,
                                         DType::kFloat16),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace parley
