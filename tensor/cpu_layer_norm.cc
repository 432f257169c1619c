#include "tensor/cpu_layer_norm.h"

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

// Statistics and parameters of the normalisation of `x`.
void CheckVector(const Tensor& vector, int64_t size, const Tensor& x) {
  CHECK(vector.num_elements() == size &&
        vector.dtype() == (x.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32))
      << NameOf(vector.dtype()) << vector.shape().ToString() << " for " << NameOf(x.dtype())
      << x.shape().ToString();
}

}  // namespace

void CpuLayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                  const Tensor& y, const Tensor& mean, const Tensor& rstd) {
  CheckAlike(x, y);
  const int64_t n = x.shape().back(), rows = x.shape().rows();
  for (const Tensor* vector : {&gamma, &beta}) CheckVector(*vector, n, x);
  for (const Tensor* vector : {&mean, &rstd}) CheckVector(*vector, rows, x);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    WideRow<T> wide(n);
    for (int64_t row = 0; row < rows; ++row) {
      const W* const in = wide.Of(x.As<const T>() + row * n);
      const auto count = static_cast<double>(n);
      const double m =
          SumLanes<T>(n, [&](int64_t i, auto place) { return Load(in + i, place); }) / count;
      const Lanes<T> means = SameLanes(static_cast<W>(m));
      double variance = SumLanes<T>(n,
                                    [&](int64_t i, auto place) {
                                      const Lanes<T> d = Load(in + i, place) - means;
                                      return d * d;
                                    }) /
                        count;
      // The squares were of distances from the rounded mean.
      const double off = m - static_cast<double>(static_cast<W>(m));
      variance -= off * off;
      const auto r = static_cast<W>(1 / std::sqrt(std::max(variance, 0.0) + epsilon));
      const Lanes<T> factors = SameLanes(r);
      mean.As<W>()[row] = static_cast<W>(m);
      rstd.As<W>()[row] = r;
      MapLanes(
          n, Write::kReplace, y.As<T>() + row * n,
          [&](Lanes<T> v, Lanes<T> g, Lanes<T> b) { return (v - means) * factors * g + b; }, in,
          gamma.As<const W>(), beta.As<const W>());
    }
  });
}

void CpuLayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                          const Tensor& rstd, const Tensor& dy, Write write, const Tensor& dx) {
  CheckAlike(x, dy);
  CheckAlike(dy, dx);
  const int64_t n = x.shape().back(), rows = x.shape().rows();
  CheckVector(gamma, n, x);
  for (const Tensor* vector : {&mean, &rstd}) CheckVector(*vector, rows, x);
  // With h = (x - mean) rstd and g = dy gamma:
  //   dx = rstd (g - mean of g - h * mean of g h)
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    std::vector<W> h(static_cast<size_t>(n)), g(static_cast<size_t>(n));
    for (int64_t row = 0; row < rows; ++row) {
      const T* const in = x.As<const T>() + row * n;
      const T* const d = dy.As<const T>() + row * n;
      const Lanes<T> means = SameLanes(mean.As<const W>()[row]);
      const Lanes<T> factors = SameLanes(rstd.As<const W>()[row]);
      const double sum_g = SumLanes<T>(n, [&](int64_t i, auto place) {
        const Lanes<T> value = Load(d + i, place) * Load(gamma.As<const W>() + i, place);
        Store(g.data() + i, value, place);
        return value;
      });
      const double sum_gh = SumLanes<T>(n, [&](int64_t i, auto place) {
        const Lanes<T> value = (Load(in + i, place) - means) * factors;
        Store(h.data() + i, value, place);
        return value * Load(g.data() + i, place);
      });
      const Lanes<T> mean_g = SameLanes(static_cast<W>(sum_g / static_cast<double>(n)));
      const Lanes<T> mean_gh = SameLanes(static_cast<W>(sum_gh / static_cast<double>(n)));
      MapLanes(
          n, write, dx.As<T>() + row * n,
          [&](Lanes<T> gv, Lanes<T> hv) { return factors * (gv - mean_g - hv * mean_gh); },
          static_cast<const W*>(g.data()), static_cast<const W*>(h.data()));
    }
  });
}

void CpuLayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                   const Tensor& dy, const Tensor& dgamma, const Tensor& dbeta) {
  CheckAlike(x, dy);
  const int64_t n = x.shape().back(), rows = x.shape().rows();
  for (const Tensor* vector : {&dgamma, &dbeta}) CheckVector(*vector, n, x);
  for (const Tensor* vector : {&mean, &rstd}) CheckVector(*vector, rows, x);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    std::vector<double> gamma_sums(PaddedTo(n), 0.0), beta_sums(PaddedTo(n), 0.0);
    SumColumns<T, 2>(rows, n, {gamma_sums.data(), beta_sums.data()},
                     [&](int64_t row, int64_t j, auto place, Lanes<T>* sums) {
                       const Lanes<T> d = Load(dy.As<const T>() + row * n + j, place);
                       const Lanes<T> h = (Load(x.As<const T>() + row * n + j, place) -
                                           SameLanes(mean.As<const W>()[row])) *
                                          SameLanes(rstd.As<const W>()[row]);
                       sums[0] = sums[0] + d * h;
                       sums[1] = sums[1] + d;
                     });
    std::copy_n(gamma_sums.begin(), n, dgamma.As<W>());
    std::copy_n(beta_sums.begin(), n, dbeta.As<W>());
  });
}

}  // namespace parley
