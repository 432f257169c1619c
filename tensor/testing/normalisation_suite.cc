#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/testing/backend_suite.h"

// BackendSuite's tests of softmax and of what is made of it, layer and batch normalisation.

namespace parley {
namespace {

constexpr int kRounds = 12;
constexpr double kEpsilon = 1e-5;

// Rounded to the numbers of `dtype`, in which an operation gets them.
reference::Array Rounded(const reference::Array& x, DType dtype) {
  return reference::Map(x, [&](double v) { return reference::RoundTo(dtype, v); });
}

reference::Array ScaledAndShifted(reference::Array h, const reference::Array& gamma,
                                  const reference::Array& beta) {
  for (size_t i = 0; i < h.values.size(); ++i) {
    h.values[i] = h.values[i] * gamma.values[i % h.columns()] + beta.values[i % h.columns()];
  }
  return h;
}

// Sums over rows of a * b.
reference::Array ColumnSums(const reference::Array& a, const reference::Array& b) {
  reference::Array sums(Shape{a.columns()});
  for (size_t i = 0; i < a.values.size(); ++i) {
    sums.values[i % a.columns()] += a.values[i] * b.values[i];
  }
  return sums;
}

}  // namespace

TEST_P(BackendSuite, Softmax) {
  for (int round = 0; round < 2 * kRounds; ++round) {
    const bool causal = round % 2 == 1;
    const Array x = Random(RandomShape(causal ? 2 : 1, 4), -10, 10);
    ExpectReplaces(reference::Softmax(x, causal), 4,
                   [&](const Tensor& y) { backend()->Softmax(Put(x), causal, y); });
  }
}

TEST_P(BackendSuite, SoftmaxOfLongRowsAndOfLargeNumbers) {
  const Array x = Random({3, Between(1000, 3000)}, -1000, 1000);
  // Beside the largest all but a few vanish: exp's argument has an error, too.
  ExpectReplaces(reference::Softmax(x, false), 10,
                 [&](const Tensor& y) { backend()->Softmax(Put(x), false, y); });
  ExpectReplaces(reference::LogSoftmax(x), 2000,
                 [&](const Tensor& y) { backend()->LogSoftmax(Put(x), y); });
}

TEST_P(BackendSuite, SoftmaxGradient) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = RandomShape(1, 3);
    const Array y = Rounded(reference::Softmax(Random(shape), false), dtype()), dy = Random(shape);
    ExpectWrites(reference::SoftmaxGradient(y, dy), 8, [&](Write write, const Tensor& dx) {
      backend()->SoftmaxGradient(Put(y), Put(dy), write, dx);
    });
  }
}

TEST_P(BackendSuite, LogSoftmax) {
  for (int round = 0; round < kRounds; ++round) {
    const Array x = Random(RandomShape(1, 3), -10, 10);
    ExpectReplaces(reference::LogSoftmax(x), 40,
                   [&](const Tensor& y) { backend()->LogSoftmax(Put(x), y); });
  }
}

TEST_P(BackendSuite, LogSoftmaxGradient) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = RandomShape(1, 3);
    const Array y = Random(shape, -5, 0), dy = Random(shape);
    const double scale = 2 + 2 * static_cast<double>(shape.back());
    ExpectWrites(reference::LogSoftmaxGradient(y, dy), scale, [&](Write write, const Tensor& dx) {
      backend()->LogSoftmaxGradient(Put(y), Put(dy), write, dx);
    });
  }
}

TEST_P(BackendSuite, SoftmaxCrossEntropy) {
  for (int round = 0; round < kRounds; ++round) {
    const int64_t rows = Dimension(), classes = std::max<int64_t>(Dimension(), 1);
    const Array logits = Random({rows, classes}, -10, 10), labels = Indices({rows}, classes);
    const Array log_softmax = reference::LogSoftmax(logits);
    Array loss(Shape{1}, rows == 0 ? std::numeric_limits<double>::quiet_NaN() : 0);
    for (int64_t i = 0; i < rows; ++i) {
      loss.values[0] -= log_softmax.values[i * classes + static_cast<int64_t>(labels.values[i])] /
                        static_cast<double>(rows);
    }
    const Tensor got_loss = Rubbish({1});
    ExpectReplaces(reference::Softmax(logits, false), 4, [&](const Tensor& probabilities) {
      backend()->SoftmaxCrossEntropy(Put(logits), Put(labels, DType::kInt32), probabilities,
                                     got_loss);
    });
    ExpectClose(got_loss, loss, 40);
  }
}

TEST_P(BackendSuite, SoftmaxCrossEntropyGradient) {
  for (int round = 0; round < kRounds; ++round) {
    const int64_t rows = Dimension(), classes = std::max<int64_t>(Dimension(), 1);
    const Array p = Random({rows, classes}, 0, 1), labels = Indices({rows}, classes);
    const Array dloss = Random({1});
    Array want(p.shape);
    for (size_t i = 0; i < want.values.size(); ++i) {
      const auto label = static_cast<int64_t>(labels.values[i / classes]);
      const double onehot = static_cast<int64_t>(i) % classes == label ? 1 : 0;
      want.values[i] = (p.values[i] - onehot) * dloss.values[0] / static_cast<double>(rows);
    }
    ExpectWrites(want, 4, [&](Write write, const Tensor& dlogits) {
      backend()->SoftmaxCrossEntropyGradient(Put(p), Put(labels, DType::kInt32), Put(dloss), write,
                                             dlogits);
    });
  }
}

TEST_P(BackendSuite, LayerNorm) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = RandomShape(1, 3);
    const int64_t n = shape.back();
    if (n == 0) continue;
    const double offset = round % 3 == 0 ? 50 : 0;
    const Array x = Random(shape, offset - 2, offset + 2);
    const Array gamma = Random({n}, -2, 2, statistics_dtype());
    const Array beta = Random({n}, -2, 2, statistics_dtype());
    const reference::Moments moments = reference::RowMoments(x);
    const Array want_rstd = reference::Rstd(moments.variance, kEpsilon);
    const Tensor mean = Rubbish(moments.mean.shape, statistics_dtype());
    const Tensor rstd = Rubbish(moments.mean.shape, statistics_dtype());
    // How much of the error of a mean a division by a small deviation makes.
    const double size = x.Largest(), steep = want_rstd.Largest();
    const Array h = reference::Normalised(x, moments.mean, want_rstd, true);
    ExpectReplaces(ScaledAndShifted(h, gamma, beta),
                   (1 + size * steep) * (1 + h.Largest() * h.Largest()) * 2, [&](const Tensor& y) {
                     backend()->LayerNorm(Put(x), Put(gamma, statistics_dtype()),
                                          Put(beta, statistics_dtype()), kEpsilon, y, mean, rstd);
                   });
    ExpectClose(mean, moments.mean, size);
    ExpectClose(rstd, want_rstd, steep * (1 + size * steep));
  }
}

TEST_P(BackendSuite, LayerNormGradients) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = RandomShape(1, 3);
    const int64_t n = shape.back();
    if (n == 0) continue;
    const DType type = statistics_dtype();
    const Array x = Random(shape), dy = Random(shape), gamma = Random({n}, -2, 2, type);
    const reference::Moments moments = reference::RowMoments(x);
    const Array mean = Rounded(moments.mean, type);
    const Array rstd = Rounded(reference::Rstd(moments.variance, kEpsilon), type);
    const Array h = reference::Normalised(x, mean, rstd, true);
    // Errors of h = (x - mean) * rstd, where both are near.
    const double h_size = h.Largest() + 2 * rstd.Largest();
    ExpectWrites(reference::NormGradient(h, gamma, rstd, dy, true),
                 rstd.Largest() * 4 * (2 + 2 * h_size * (1 + h.Largest())),
                 [&](Write write, const Tensor& dx) {
                   backend()->LayerNormGradient(Put(x), Put(gamma, type), Put(mean, type),
                                                Put(rstd, type), Put(dy), write, dx);
                 });
    const Tensor dgamma = Rubbish({n}, type), dbeta = Rubbish({n}, type);
    backend()->LayerNormParameterGradient(Put(x), Put(mean, type), Put(rstd, type), Put(dy), dgamma,
                                          dbeta);
    const double rows = static_cast<double>(shape.rows());
    ExpectClose(dgamma, ColumnSums(dy, h), 2 * rows * h_size);
    ExpectClose(dbeta, ColumnSums(dy, Array(shape, 1)), 2 * rows);
  }
}

TEST_P(BackendSuite, BatchNorm) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = RandomShape(2, 4);
    const int64_t n = shape.back();
    if (shape.num_elements() == 0) continue;
    const DType type = statistics_dtype();
    const double offset = round % 3 == 0 ? 50 : 0;
    const Array x = Random(shape, offset - 2, offset + 2);
    const Array gamma = Random({n}, -2, 2, type), beta = Random({n}, -2, 2, type);
    const reference::Moments moments = reference::ColumnMoments(x);
    const Array rstd = reference::Rstd(moments.variance, kEpsilon);
    const Tensor mean = Rubbish({n}, type), variance = Rubbish({n}, type);
    const double size = x.Largest(), steep = rstd.Largest();
    const Array h = reference::Normalised(x, moments.mean, rstd, false);
    const double scale = (1 + size * steep) * (1 + h.Largest() * h.Largest()) * 2;
    ExpectReplaces(ScaledAndShifted(h, gamma, beta), scale, [&](const Tensor& y) {
      backend()->BatchNorm(Put(x), Put(gamma, type), Put(beta, type), kEpsilon, y, mean, variance);
    });
    ExpectClose(mean, moments.mean, size);
    // Of the squares of distances from the mean, not of squares.
    ExpectClose(variance, moments.variance, 16 + size);

    const Array given_mean = Random({n}, -1, 1, type), given = Random({n}, 0.5, 2, type);
    const Array inferred =
        reference::Normalised(x, given_mean, reference::Rstd(given, kEpsilon), false);
    ExpectReplaces(ScaledAndShifted(inferred, gamma, beta), 8 + 8 * size, [&](const Tensor& y) {
      backend()->BatchNormInference(Put(x), Put(gamma, type), Put(beta, type),
                                    Put(given_mean, type), Put(given, type), kEpsilon, y);
    });
  }
}

TEST_P(BackendSuite, BatchNormGradients) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = RandomShape(2, 4);
    const int64_t n = shape.back();
    if (shape.num_elements() == 0) continue;
    const DType type = statistics_dtype();
    const Array x = Random(shape), dy = Random(shape), gamma = Random({n}, -2, 2, type);
    const reference::Moments moments = reference::ColumnMoments(x);
    const Array mean = Rounded(moments.mean, type), variance = Rounded(moments.variance, type);
    const Array rstd = reference::Rstd(variance, kEpsilon);
    const Array h = reference::Normalised(x, mean, rstd, false);
    const double h_size = h.Largest() + 2 * rstd.Largest();
    const double rows = static_cast<double>(shape.rows());
    const auto run = [&](Write write, const Tensor& dx) {
      const Tensor dgamma = Rubbish({n}, type), dbeta = Rubbish({n}, type);
      backend()->BatchNormGradient(Put(x), Put(gamma, type), Put(mean, type), Put(variance, type),
                                   kEpsilon, Put(dy), write, dx, dgamma, dbeta);
      ExpectClose(dgamma, ColumnSums(dy, h), 2 * rows * h_size);
      ExpectClose(dbeta, ColumnSums(dy, Array(shape, 1)), 2 * rows);
    };
    ExpectWrites(reference::NormGradient(h, gamma, rstd, dy, false),
                 rstd.Largest() * 4 * (2 + 2 * h_size * (1 + h.Largest())), run);
    run(Write::kReplace, Tensor());  // nobody wants dx
  }
}

}  // namespace parley
