#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/testing/backend_suite.h"

// BackendSuite's tests of products, convolutions and pools.

namespace parley {
namespace {

constexpr int kRounds = 12;

}  // namespace

TEST_P(BackendSuite, MatMul) {
  for (int round = 0; round < 2 * kRounds; ++round) {
    const bool ta = Coin(), tb = Coin();
    const int64_t m = Dimension(), k = Dimension(), n = Dimension();
    const Array a = Random(ta ? Shape{k, m} : Shape{m, k});
    const Array b = Random(tb ? Shape{n, k} : Shape{k, n});
    SCOPED_TRACE(testing::Message() << m << " " << k << " " << n << " " << ta << tb);
    ExpectWrites(reference::MatMul(1, a, ta, b, tb), 4 * static_cast<double>(k),
                 [&](Write write, const Tensor& out) {
                   backend()->MatMul(Put(a), ta, Put(b), tb, write, out);
                 });
  }
}

TEST_P(BackendSuite, MatMulTakesRowsOfAnyRank) {
  const Array a = Random({2, 3, 4}), b = Random({4, 5});
  Array rows = a;
  rows.shape = {6, 4};
  Array want = reference::MatMul(1, rows, false, b, false);
  want.shape = {2, 3, 5};
  ExpectWrites(want, 16, [&](Write write, const Tensor& out) {
    backend()->MatMul(Put(a), false, Put(b), false, write, out);
  });
}

TEST_P(BackendSuite, BatchMatMul) {
  for (int round = 0; round < kRounds; ++round) {
    const bool ta = Coin(), tb = Coin();
    const int64_t m = Dimension(), k = Dimension(), n = Dimension();
    const auto shape = [&, batch = std::vector<int64_t>{Between(0, 3), Between(1, 3)},
                        three = Coin()](int64_t rows, int64_t columns) {
      return three ? Shape{batch[1], rows, columns} : Shape{batch[0], batch[1], rows, columns};
    };
    const Array a = Random(ta ? shape(k, m) : shape(m, k));
    const Array b = Random(tb ? shape(n, k) : shape(k, n));
    SCOPED_TRACE(testing::Message() << m << " " << k << " " << n << " " << ta << tb);
    ExpectWrites(reference::MatMul(-0.5, a, ta, b, tb), 4 * static_cast<double>(k),
                 [&](Write write, const Tensor& out) {
                   backend()->BatchMatMul(-0.5, Put(a), ta, Put(b), tb, write, out);
                 });
  }
}

TEST_P(BackendSuite, Convolutions) {
  for (int round = 0; round < kRounds; ++round) {
    Window window{Between(1, 4), Between(1, 4), Between(1, 3), Between(0, 3)};
    const Shape x_shape = {Between(0, 3), Between(1, 9), Between(1, 9), Between(1, 18)};
    if (round % 4 == 0) window = {1, 1, window.stride, 0};
    if (round % 4 == 1) window = {3, 3, 1, 1};
    if (!window.Fits(x_shape[1], x_shape[2])) window.padding = 3;
    const Shape filter_shape = {window.height, window.width, x_shape[3], Between(1, 18)};
    SCOPED_TRACE(testing::Message()
                 << x_shape.ToString() << " by " << filter_shape.ToString() << " stride "
                 << window.stride << " padding " << window.padding);
    const Array x = Random(x_shape), filter = Random(filter_shape);
    const Array dy = Random(reference::ConvolutionShape(x_shape, filter_shape, window));
    Array y(dy.shape), dx(x_shape), dfilter(filter_shape);
    reference::ForEachProduct(x_shape, filter_shape, window,
                              [&](int64_t at_x, int64_t at_filter, int64_t at_y) {
                                y.values[at_y] += x.values[at_x] * filter.values[at_filter];
                                dx.values[at_x] += dy.values[at_y] * filter.values[at_filter];
                                dfilter.values[at_filter] += dy.values[at_y] * x.values[at_x];
                              });
    const auto terms = [](const Shape& shape, int64_t but) {
      return 4 * static_cast<double>(shape.num_elements()) / static_cast<double>(but);
    };
    ExpectReplaces(y, terms(filter_shape, filter_shape[3]),
                   [&](const Tensor& out) { backend()->Conv2d(Put(x), Put(filter), window, out); });
    ExpectWrites(dx, terms(filter_shape, filter_shape[2]), [&](Write write, const Tensor& out) {
      backend()->Conv2dInputGradient(Put(dy), Put(filter), window, write, out);
    });
    ExpectWrites(dfilter, terms(dy.shape, dy.shape[3]), [&](Write write, const Tensor& out) {
      backend()->Conv2dFilterGradient(Put(x), Put(dy), window, write, out);
    });
  }
}

TEST_P(BackendSuite, MaxPools) {
  for (int round = 0; round < kRounds; ++round) {
    Window window{Between(1, 3), Between(1, 3), Between(1, 3), 0};
    window.padding = Between(0, std::min(window.height, window.width) - 1);
    const Shape shape = {Between(0, 3), Between(3, 9), Between(3, 9), Between(1, 18)};
    SCOPED_TRACE(testing::Message()
                 << shape.ToString() << " by " << window.height << "x" << window.width << " stride "
                 << window.stride << " padding " << window.padding);
    // Of few numbers, so that there are equal ones, and negative, so that padding would win.
    Array x = reference::Map(Indices(shape, 5), [](double v) { return v - 6; });
    if (round % 3 == 0 && !x.values.empty()) {
      x.values[Between(0, shape.num_elements() - 1)] = std::numeric_limits<double>::quiet_NaN();
    }
    const Shape pooled = reference::PooledShape(shape, window);
    Array y(pooled, -std::numeric_limits<double>::infinity()), argmax(pooled, -1);
    std::vector<int64_t> winner(y.values.size(), -1);
    reference::ForEachPooled(shape, window, [&](int64_t at_x, int64_t at_y) {
      const double value = x.values[at_x];
      if (!(value > y.values[at_y]) && !std::isnan(value)) return;
      y.values[at_y] = value;
      winner[at_y] = at_x;
      argmax.values[at_y] = static_cast<double>(at_x / shape[3] % (shape[1] * shape[2]));
    });
    const Tensor got_argmax = Rubbish(pooled, DType::kInt32);
    ExpectReplaces(
        y, 0, [&](const Tensor& out) { backend()->MaxPool2d(Put(x), window, out, got_argmax); });
    EXPECT_EQ(Get(got_argmax).values, argmax.values);
    const Array dy = Random(pooled);
    Array dx(shape);
    for (size_t i = 0; i < winner.size(); ++i) dx.values[winner[i]] += dy.values[i];
    ExpectWrites(dx, 18, [&](Write write, const Tensor& out) {
      backend()->MaxPool2dGradient(Put(dy), Put(argmax, DType::kInt32), window, write, out);
    });
  }
}

TEST_P(BackendSuite, AvgPools) {
  for (int round = 0; round < kRounds; ++round) {
    const Window window{Between(1, 3), Between(1, 3), Between(1, 3), Between(0, 2)};
    const Shape shape = {Between(0, 3), Between(3, 9), Between(3, 9), Between(1, 18)};
    SCOPED_TRACE(testing::Message()
                 << shape.ToString() << " by " << window.height << "x" << window.width << " stride "
                 << window.stride << " padding " << window.padding);
    const Array x = Random(shape), dy = Random(reference::PooledShape(shape, window));
    Array y(dy.shape), dx(shape);
    const auto size = static_cast<double>(window.height * window.width);
    reference::ForEachPooled(shape, window, [&](int64_t at_x, int64_t at_y) {
      y.values[at_y] += x.values[at_x] / size;
      dx.values[at_x] += dy.values[at_y] / size;
    });
    ExpectReplaces(y, 4, [&](const Tensor& out) { backend()->AvgPool2d(Put(x), window, out); });
    ExpectWrites(dx, 18, [&](Write write, const Tensor& out) {
      backend()->AvgPool2dGradient(Put(dy), window, write, out);
    });
  }
}

}  // namespace parley
