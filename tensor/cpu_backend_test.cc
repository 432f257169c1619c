#include "tensor/cpu_backend.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/philox.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

Tensor Random(const Shape& shape, uint64_t seed) {
  Tensor tensor(CpuBackend(), shape);
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    tensor.data()[i] = 2 * PhiloxUniform(seed, 0, static_cast<uint64_t>(i)) - 1;
  }
  return tensor;
}

// The element of `image` [n, h, w, c]; 0 outside.
double At(const Tensor& image, int64_t n, int64_t y, int64_t x, int64_t c) {
  const Shape& s = image.shape();
  if (y < 0 || y >= s[1] || x < 0 || x >= s[2]) return 0;
  return static_cast<double>(image.data()[((n * s[1] + y) * s[2] + x) * s[3] + c]);
}

struct ConvCase {
  Shape x;
  int64_t out_channels;
  Window window;
};

class ConvTest : public testing::TestWithParam<ConvCase> {
 protected:
  // Calls visit(n, oy, ox, o, ky, kx, c) for every product of the convolution.
  template <typename Visit>
  void ForEachProduct(Visit visit) const {
    const auto& [x, out_channels, w] = GetParam();
    for (int64_t n = 0; n < x[0]; ++n)
      for (int64_t oy = 0; oy < w.OutputHeight(x[1]); ++oy)
        for (int64_t ox = 0; ox < w.OutputWidth(x[2]); ++ox)
          for (int64_t o = 0; o < out_channels; ++o)
            for (int64_t ky = 0; ky < w.height; ++ky)
              for (int64_t kx = 0; kx < w.width; ++kx)
                for (int64_t c = 0; c < x[3]; ++c) visit(n, oy, ox, o, ky, kx, c);
  }
};

// Against the definition, summed in float64.
TEST_P(ConvTest, AgreesWithTheDefinition) {
  const auto& [x_shape, out_channels, w] = GetParam();
  Backend* const cpu = CpuBackend();
  const Shape y_shape = {x_shape[0], w.OutputHeight(x_shape[1]), w.OutputWidth(x_shape[2]),
                         out_channels};
  const Tensor x = Random(x_shape, 1),
               filter = Random({w.height, w.width, x_shape[3], out_channels}, 2);
  const Tensor dy = Random(y_shape, 3);
  const Tensor y(cpu, y_shape);
  const Tensor dx = Random(x_shape, 4), dfilter = Random(filter.shape(), 5);
  std::vector<double> want_y(y.num_elements()), want_dx(dx.span().begin(), dx.span().end()),
      want_dfilter(dfilter.span().begin(), dfilter.span().end());
  ForEachProduct(
      [&, &w = w, &x_shape = x_shape, &out_channels = out_channels](
          int64_t n, int64_t oy, int64_t ox, int64_t o, int64_t ky, int64_t kx, int64_t c) {
        const int64_t row = oy * w.stride - w.padding + ky, col = ox * w.stride - w.padding + kx;
        const int64_t at_y = ((n * y_shape[1] + oy) * y_shape[2] + ox) * out_channels + o;
        const int64_t at_f = ((ky * w.width + kx) * x_shape[3] + c) * out_channels + o;
        want_y[at_y] += At(x, n, row, col, c) * static_cast<double>(filter.data()[at_f]);
        want_dfilter[at_f] += At(x, n, row, col, c) * static_cast<double>(dy.data()[at_y]);
        if (row < 0 || row >= x_shape[1] || col < 0 || col >= x_shape[2]) return;
        want_dx[((n * x_shape[1] + row) * x_shape[2] + col) * x_shape[3] + c] +=
            static_cast<double>(filter.data()[at_f]) * static_cast<double>(dy.data()[at_y]);
      });
  cpu->Conv2d(x, filter, w, y);
  cpu->Conv2dInputGradient(dy, filter, w, Write::kAdd, dx);
  cpu->Conv2dFilterGradient(x, dy, w, Write::kAdd, dfilter);
  for (size_t i = 0; i < want_y.size(); ++i) EXPECT_NEAR(y.data()[i], want_y[i], 1e-4);
  for (size_t i = 0; i < want_dx.size(); ++i) EXPECT_NEAR(dx.data()[i], want_dx[i], 1e-4);
  for (size_t i = 0; i < want_dfilter.size(); ++i)
    EXPECT_NEAR(dfilter.data()[i], want_dfilter[i], 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConvTest,
                         testing::Values(ConvCase{{2, 5, 6, 3}, 4, {3, 3, 1, 1}},
                                         ConvCase{{1, 1, 1, 1}, 1, {1, 1, 1, 0}},
                                         ConvCase{{3, 7, 5, 2}, 1, {2, 3, 2, 0}},
                                         ConvCase{{2, 4, 4, 1}, 5, {5, 5, 1, 2}},
                                         ConvCase{{40, 9, 9, 8}, 3, {3, 3, 3, 2}},
                                         ConvCase{{1, 3, 3, 2}, 2, {3, 3, 1, 3}}));

TEST(MaxPoolTest, TakesTheFirstMaximumAndPaddingNeverWins) {
  Backend* const cpu = CpuBackend();
  const Tensor x(cpu, {1, 2, 3, 1});
  const std::vector<float> values = {-5, -1, -1, -4, -3, -2};
  cpu->CopyFromHost(values.data(), x);
  const Window window = {2, 2, 1, 1};
  const Tensor y(cpu, {1, 3, 4, 1}), argmax(cpu, {1, 3, 4, 1}, DType::kInt32);
  cpu->MaxPool2d(x, window, y, argmax);
  EXPECT_EQ(std::vector<float>(y.span().begin(), y.span().end()),
            (std::vector<float>{-5, -1, -1, -1, -4, -1, -1, -1, -4, -3, -2, -2}));
  EXPECT_EQ(argmax.int_data()[2], 1);  // the first of two
  const Tensor dy(cpu, y.shape()), dx(cpu, x.shape());
  cpu->Fill(1, dy);
  cpu->MaxPool2dGradient(dy, argmax, window, Write::kReplace, dx);
  EXPECT_EQ(std::vector<float>(dx.span().begin(), dx.span().end()),
            (std::vector<float>{1, 4, 2, 2, 1, 2}));
}

TEST(MatMulTest, TransposesAsTold) {
  Backend* const cpu = CpuBackend();
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const Tensor a = Random(ta ? Shape{4, 3} : Shape{3, 4}, 1);
      const Tensor b = Random(tb ? Shape{5, 4} : Shape{4, 5}, 2);
      const Tensor out = Random({3, 5}, 3), before = Random({3, 5}, 3);
      cpu->MatMul(a, ta, b, tb, Write::kAdd, out);
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 5; ++j) {
          float want = before.data()[5 * i + j];
          for (int k = 0; k < 4; ++k) {
            want += a.data()[ta ? 3 * k + i : 4 * i + k] * b.data()[tb ? 4 * j + k : 5 * k + j];
          }
          EXPECT_NEAR(out.data()[5 * i + j], want, 1e-5);
        }
      }
    }
  }
}

TEST(SoftmaxTest, IsFiniteForLargeLogitsAndSumsToOne) {
  Backend* const cpu = CpuBackend();
  const Tensor x(cpu, {2, 3}), y(cpu, {2, 3}), loss(cpu, {}), labels(cpu, {2}, DType::kInt32);
  const std::vector<float> values = {1000, 999, -1000, 0, 0, 0};
  cpu->CopyFromHost(values.data(), x);
  labels.int_data()[0] = 2;
  labels.int_data()[1] = 1;
  cpu->SoftmaxCrossEntropy(x, labels, y, loss);
  EXPECT_NEAR(y.data()[0] + y.data()[1] + y.data()[2], 1, 1e-6);
  EXPECT_NEAR(y.data()[4], 1.0 / 3, 1e-6);
  EXPECT_NEAR(loss.data()[0], (2000.3132617 + std::log(3.0)) / 2, 1e-3);
}

// Sizes that leave a rest beside every vector width.
TEST(ElementwiseTest, AgreesWithTheDefinitions) {
  Backend* const cpu = CpuBackend();
  for (const int64_t columns : {1, 3, 8, 13, 35}) {
    const Shape shape = {3, columns};
    const Tensor a = Random(shape, 1), b = Random(shape, 2), bias = Random({columns}, 3);
    const Tensor sum(cpu, shape), scaled = Random(shape, 4), product = Random(shape, 5),
                                  biased(cpu, shape), rows = Random({columns}, 6), total(cpu, {});
    const Tensor old_scaled = Random(shape, 4), old_product = Random(shape, 5),
                 old_rows = Random({columns}, 6);
    cpu->Binary(BinaryOp::kAdd, a, b, Write::kReplace, sum);
    cpu->Affine(-2, a, 0, Write::kAdd, scaled);
    cpu->Binary(BinaryOp::kMultiply, a, b, Write::kAdd, product);
    cpu->Binary(BinaryOp::kAdd, a, bias, Write::kReplace, biased);
    cpu->Reduce(Reduction::kSum, a, Write::kAdd, rows);
    cpu->Reduce(Reduction::kSum, a, Write::kReplace, total);
    double want_total = 0;
    for (int64_t j = 0; j < columns; ++j) {
      float want_rows = old_rows.data()[j];
      for (int64_t i = j; i < a.num_elements(); i += columns) {
        const float x = a.data()[i], y = b.data()[i];
        EXPECT_FLOAT_EQ(sum.data()[i], x + y);
        EXPECT_NEAR(scaled.data()[i], old_scaled.data()[i] - 2 * x, 1e-6);
        EXPECT_NEAR(product.data()[i], old_product.data()[i] + x * y, 1e-6);
        EXPECT_FLOAT_EQ(biased.data()[i], x + bias.data()[j]);
        want_rows += x;
        want_total += static_cast<double>(x);
      }
      EXPECT_NEAR(rows.data()[j], want_rows, 1e-6);
    }
    EXPECT_NEAR(total.data()[0], want_total, 1e-5);
  }
}

TEST(ActivationTest, AgreesWithTheDefinitions) {
  Backend* const cpu = CpuBackend();
  const Tensor x(cpu, {19}), y(cpu, {19});
  for (int i = 0; i < 19; ++i) x.data()[i] = 0.9f * static_cast<float>(i - 9);
  const auto expect = [&](UnaryOp activation, double (*definition)(double)) {
    cpu->Unary(activation, x, y);
    for (int i = 0; i < 19; ++i) {
      EXPECT_NEAR(y.data()[i], definition(static_cast<double>(x.data()[i])), 1e-6) << i;
    }
  };
  expect(UnaryOp::kRelu, [](double v) { return v > 0 ? v : 0; });
  expect(UnaryOp::kSigmoid, [](double v) { return 1 / (1 + std::exp(-v)); });
  expect(UnaryOp::kTanh, [](double v) { return std::tanh(v); });
}

// What diverged must be seen as such by whoever looks at the loss.
TEST(CpuBackendTest, ReluAndPoolingPassNanOn) {
  Backend* const cpu = CpuBackend();
  for (int64_t place = 0; place < 36; ++place) {
    const Tensor x(cpu, {1, 6, 6, 1}), positive(cpu, x.shape()), y(cpu, {1, 3, 3, 1}),
        argmax(cpu, y.shape(), DType::kInt32);
    for (int i = 0; i < 36; ++i) x.data()[i] = 1;
    x.data()[place] = std::nanf("");
    cpu->Unary(UnaryOp::kRelu, x, positive);
    EXPECT_TRUE(std::isnan(positive.data()[place])) << place;
    cpu->MaxPool2d(x, {2, 2, 2, 0}, y, argmax);
    const int64_t window = place / 12 * 3 + place % 6 / 2;
    EXPECT_TRUE(std::isnan(y.data()[window])) << place;
    EXPECT_EQ(argmax.int_data()[window], place);
  }
}

// The same numbers at other addresses give the same bits: what "a run gives the same bits" rests
// on.
TEST(CpuBackendTest, BitsDoNotDependOnAddresses) {
  Backend* const cpu = CpuBackend();
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<std::vector<char>> ballast;
  std::vector<Tensor> kept;  // so that no run gets memory of another
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 8; ++run) {
    ballast.emplace_back(random() % 5000);
    const Tensor x = Random({3, 9, 9, 5}, 1), filter = Random({3, 3, 5, 7}, 2);
    const Tensor y(cpu, {3, 9, 9, 7}), dx(cpu, x.shape()), dfilter(cpu, filter.shape());
    const Tensor product(cpu, {7, 7}), column(cpu, {3 * 9 * 9, 1}), sums(cpu, {7}),
        tanh(cpu, y.shape()), weights = Random({7, 1}, 3), softmax(cpu, y.shape());
    cpu->Conv2d(x, filter, {3, 3, 1, 1}, y);
    cpu->Unary(UnaryOp::kTanh, y, tanh);
    cpu->Conv2dInputGradient(tanh, filter, {3, 3, 1, 1}, Write::kReplace, dx);
    cpu->Conv2dFilterGradient(x, tanh, {3, 3, 1, 1}, Write::kReplace, dfilter);
    cpu->MatMul(y, true, tanh, false, Write::kReplace, product);
    cpu->MatMul(y, false, weights, false, Write::kReplace, column);
    cpu->Reduce(Reduction::kSum, tanh, Write::kReplace, sums);
    cpu->Softmax(y, false, softmax);
    std::vector<float>& all = results.emplace_back();
    for (const Tensor& tensor : {y, tanh, dx, dfilter, product, column, sums, softmax}) {
      all.insert(all.end(), tensor.span().begin(), tensor.span().end());
    }
    kept.insert(kept.end(), {x, filter, y, dx, dfilter, product, column, sums, tanh, weights});
    EXPECT_EQ(std::memcmp(all.data(), results[0].data(), all.size() * sizeof(float)), 0)
        << "run " << run;
  }
}

}  // namespace
}  // namespace parley
