#include "tensor/cpu_batch_norm.h"

#include <cmath>
#include <vector>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"

namespace parley {
namespace {

void CheckAlike(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == b.dtype() && a.num_elements() == b.num_elements() && a.shape().rank() > 0)
      << NameOf(a.dtype()) << a.shape().ToString() << " and " << NameOf(b.dtype())
      << b.shape().ToString();
}

// Statistics and parameters of the normalisation of `x`, all [n].
void CheckVector(const Tensor& vector, const Tensor& x) {
  CHECK(vector.num_elements() == x.shape().back() &&
        vector.dtype() == (x.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32))
      << NameOf(vector.dtype()) << vector.shape().ToString() << " for " << NameOf(x.dtype())
      << x.shape().ToString();
}

// How a matrix of narrow rows is walked: `joined` rows as one, so that vectors are full. What is
// given for each column is repeated.
struct Joined {
  Joined(int64_t rows, int64_t columns)
      : joined(columns > 0 && columns < 32 ? std::min<int64_t>((32 + columns - 1) / columns, rows)
                                           : 1),
        columns(columns),
        wide(std::max<int64_t>(joined, 1) * columns),
        steps(joined > 0 ? rows / joined : 0),
        rest(joined > 0 ? rows % joined : 0) {}

  template <typename W>
  std::vector<W> Repeated(const W* vector) const {
    std::vector<W> result;
    for (int64_t k = 0; k < std::max<int64_t>(joined, 1); ++k) {
      result.insert(result.end(), vector, vector + columns);
    }
    return result;
  }

  const int64_t joined;
  const int64_t columns;
  const int64_t wide;   // columns of the wider matrix
  const int64_t steps;  // its rows
  const int64_t rest;   // rows left over
};

// The sums over rows, kSums of them, each [columns]: of body(offset, column, place, sums).
template <typename T, int kSums, typename Body>
std::vector<std::vector<double>> ColumnSums(const Joined& joined, Body body) {
  std::vector<std::vector<double>> sums(kSums, std::vector<double>(PaddedTo(joined.wide), 0.0));
  const auto add = [&](int64_t rows, int64_t width, int64_t begin) {
    if constexpr (kSums == 1) {
      SumColumns<T, 1>(rows, width, {sums[0].data()},
                       [&](int64_t row, int64_t j, auto place, Lanes<T>* to) {
                         body(begin + row * width + j, j, place, to);
                       });
    } else {
      SumColumns<T, 2>(rows, width, {sums[0].data(), sums[1].data()},
                       [&](int64_t row, int64_t j, auto place, Lanes<T>* to) {
                         body(begin + row * width + j, j, place, to);
                       });
    }
  };
  add(joined.steps, joined.wide, 0);
  add(joined.rest, joined.columns, joined.steps * joined.wide);
  for (std::vector<double>& sum : sums) {
    for (int64_t k = joined.columns; k < joined.wide; ++k) sum[k % joined.columns] += sum[k];
    sum.resize(static_cast<size_t>(joined.columns));
  }
  return sums;
}

// body(offset, column, place) for every vector of the matrix.
template <typename T, typename Body>
void ForEachLanes(const Joined& joined, Body body) {
  for (int64_t row = 0; row < joined.steps; ++row) {
    ForLanes<T>(joined.wide, [&](int64_t j, auto place) { body(row * joined.wide + j, j, place); });
  }
  const int64_t begin = joined.steps * joined.wide;
  for (int64_t row = 0; row < joined.rest; ++row) {
    ForLanes<T>(joined.columns,
                [&](int64_t j, auto place) { body(begin + row * joined.columns + j, j, place); });
  }
}

// y = (x - mean) * (rstd * gamma) + beta, variance in rstd's place.
template <typename T>
void Normalise(const Joined& joined, const T* x, const Tensor& gamma, const Tensor& beta,
               const Tensor& mean, const Tensor& variance, double epsilon, T* y) {
  using W = WorkType<T>;
  std::vector<W> factor(static_cast<size_t>(joined.columns));
  for (int64_t j = 0; j < joined.columns; ++j) {
    const double rstd = 1 / std::sqrt(static_cast<double>(variance.As<const W>()[j]) + epsilon);
    factor[j] = static_cast<W>(rstd * static_cast<double>(gamma.As<const W>()[j]));
  }
  const std::vector<W> means = joined.Repeated(mean.As<const W>());
  const std::vector<W> betas = joined.Repeated(beta.As<const W>());
  const std::vector<W> factors = joined.Repeated(static_cast<const W*>(factor.data()));
  ForEachLanes<T>(joined, [&](int64_t at, int64_t j, auto place) {
    const Lanes<T> centred = Load(x + at, place) - Load(means.data() + j, place);
    Store(y + at, centred * Load(factors.data() + j, place) + Load(betas.data() + j, place), place);
  });
}

}  // namespace

void CpuBatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                  const Tensor& y, const Tensor& mean, const Tensor& variance) {
  CheckAlike(x, y);
  for (const Tensor* vector : {&gamma, &beta, &mean, &variance}) CheckVector(*vector, x);
  const int64_t n = x.shape().back(), rows = x.shape().rows();
  const Joined joined(rows, n);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    const T* const in = x.As<const T>();
    const auto count = static_cast<double>(rows);
    const std::vector<double> sums =
        ColumnSums<T, 1>(joined, [&](int64_t at, int64_t, auto place, Lanes<T>* sum) {
          sum[0] = sum[0] + Load(in + at, place);
        })[0];
    for (int64_t j = 0; j < n; ++j) mean.As<W>()[j] = static_cast<W>(sums[j] / count);
    const std::vector<W> means = joined.Repeated(mean.As<const W>());
    const std::vector<double> squares =
        ColumnSums<T, 1>(joined, [&](int64_t at, int64_t j, auto place, Lanes<T>* sum) {
          const Lanes<T> d = Load(in + at, place) - Load(means.data() + j, place);
          sum[0] = sum[0] + d * d;
        })[0];
    for (int64_t j = 0; j < n; ++j) {
      // The squares were of distances from the rounded mean.
      const double off = sums[j] / count - static_cast<double>(mean.As<W>()[j]);
      const double centred = squares[j] / count - off * off;
      variance.As<W>()[j] = static_cast<W>(centred < 0 ? 0 : centred);
    }
    Normalise(joined, in, gamma, beta, mean, variance, epsilon, y.As<T>());
  });
}

void CpuBatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                           const Tensor& mean, const Tensor& variance, double epsilon,
                           const Tensor& y) {
  CheckAlike(x, y);
  for (const Tensor* vector : {&gamma, &beta, &mean, &variance}) CheckVector(*vector, x);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Normalise(Joined(x.shape().rows(), x.shape().back()), x.As<const T>(), gamma, beta, mean,
              variance, epsilon, y.As<T>());
  });
}

void CpuBatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                          const Tensor& variance, double epsilon, const Tensor& dy, Write write,
                          const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
  CheckAlike(x, dy);
  if (dx.defined()) CheckAlike(dy, dx);
  for (const Tensor* vector : {&gamma, &mean, &variance, &dgamma, &dbeta}) CheckVector(*vector, x);
  const int64_t n = x.shape().back(), rows = x.shape().rows();
  const Joined joined(rows, n);
  // With h = (x - mean) rstd:
  //   dgamma = sum of dy h,  dbeta = sum of dy,  dx = gamma rstd (dy - dbeta / rows - h dgamma /
  //   rows)
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    const T* const in = x.As<const T>();
    const T* const d = dy.As<const T>();
    const std::vector<W> means = joined.Repeated(mean.As<const W>());
    const std::vector<std::vector<double>> sums =
        ColumnSums<T, 2>(joined, [&](int64_t at, int64_t j, auto place, Lanes<T>* sum) {
          const Lanes<T> v = Load(d + at, place);
          sum[0] = sum[0] + v;
          sum[1] = sum[1] + v * (Load(in + at, place) - Load(means.data() + j, place));
        });
    std::vector<W> factor(static_cast<size_t>(n)), shift(factor), slope(factor);
    const auto count = static_cast<double>(rows);
    for (int64_t j = 0; j < n; ++j) {
      const double rstd = 1 / std::sqrt(static_cast<double>(variance.As<const W>()[j]) + epsilon);
      dbeta.As<W>()[j] = static_cast<W>(sums[0][j]);
      dgamma.As<W>()[j] = static_cast<W>(sums[1][j] * rstd);
      factor[j] = static_cast<W>(rstd * static_cast<double>(gamma.As<const W>()[j]));
      shift[j] = static_cast<W>(sums[0][j] / count);
      slope[j] = static_cast<W>(sums[1][j] * rstd * rstd / count);
    }
    if (!dx.defined()) return;
    const auto repeated = [&](const std::vector<W>& v) { return joined.Repeated(v.data()); };
    const std::vector<W> factors = repeated(factor), shifts = repeated(shift),
                         slopes = repeated(slope);
    ForEachLanes<T>(joined, [&](int64_t at, int64_t j, auto place) {
      const Lanes<T> centred = Load(in + at, place) - Load(means.data() + j, place);
      const Lanes<T> v = Load(d + at, place) - Load(shifts.data() + j, place) -
                         centred * Load(slopes.data() + j, place);
      Put(dx.As<T>() + at, v * Load(factors.data() + j, place), write, place);
    });
  });
}

}  // namespace parley
