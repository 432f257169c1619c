#include "nn/normalization.h"

#include <vector>

#include "glog/logging.h"

namespace parley::nn {
namespace {

DType StatisticsType(const Tensor& x) {
  return x.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

Tensor Like(const Tensor& x) { return Tensor(x.backend(), x.shape(), x.dtype()); }

Tensor NewVector(const Tensor& x, int64_t size) {
  return Tensor(x.backend(), Shape{size}, StatisticsType(x));
}

void CheckVector(const char* what, const Tensor& vector, const Tensor& x) {
  CHECK(vector.shape() == Shape{x.shape().back()} && vector.dtype() == StatisticsType(x))
      << what << " is " << NameOf(vector.dtype()) << vector.shape().ToString() << " for "
      << NameOf(x.dtype()) << x.shape().ToString();
}

void CheckParameters(const Variable& x, const Variable& gamma, const Variable& beta) {
  CHECK_GT(x.shape().rank(), 0u) << "normalisation of a scalar";
  CheckVector("gamma", gamma.value(), x.value());
  CheckVector("beta", beta.value(), x.value());
}

// The sum over all dimensions but the last, in the parameters' dtype.
Tensor SumRows(const Tensor& x) {
  Tensor wide = x;
  if (StatisticsType(x) != x.dtype()) {
    wide = Tensor(x.backend(), x.shape(), StatisticsType(x));
    x.backend()->Cast(x, Write::kReplace, wide);
  }
  const Tensor sum = NewVector(x, x.shape().back());
  x.backend()->Reduce(Reduction::kSum, wide, Write::kReplace, sum);
  return sum;
}

}  // namespace

Variable LayerNorm(const Variable& x, const Variable& gamma, const Variable& beta, double epsilon) {
  CheckParameters(x, gamma, beta);
  const Tensor y = Like(x.value());
  const Tensor mean = NewVector(x.value(), x.shape().rows());
  const Tensor rstd = NewVector(x.value(), x.shape().rows());
  x.backend()->LayerNorm(x.value(), gamma.value(), beta.value(), epsilon, y, mean, rstd);
  return Variable::Computed(
      y, {x, gamma, beta},
      [to_x = x.sink(), to_gamma = gamma.sink(), to_beta = beta.sink(), x_value = x.value(),
       gamma_value = gamma.value(), mean, rstd](const Tensor& dy) {
        Backend* const backend = dy.backend();
        if (to_gamma.wanted() || to_beta.wanted()) {
          const Tensor dgamma = Like(gamma_value), dbeta = Like(gamma_value);
          backend->LayerNormParameterGradient(x_value, mean, rstd, dy, dgamma, dbeta);
          to_gamma.Pass(dgamma);
          to_beta.Pass(dbeta);
        }
        to_x.Add([&](Write write, const Tensor& dx) {
          backend->LayerNormGradient(x_value, gamma_value, mean, rstd, dy, write, dx);
        });
      });
}

Variable BatchNorm(const Variable& x, const Variable& gamma, const Variable& beta, double epsilon,
                   BatchStatistics* statistics) {
  CheckParameters(x, gamma, beta);
  const Tensor y = Like(x.value());
  const Tensor mean = NewVector(x.value(), x.shape().back());
  const Tensor variance = NewVector(x.value(), x.shape().back());
  x.backend()->BatchNorm(x.value(), gamma.value(), beta.value(), epsilon, y, mean, variance);
  if (statistics != nullptr) *statistics = {mean, variance};
  return Variable::Computed(
      y, {x, gamma, beta},
      [to_x = x.sink(), to_gamma = gamma.sink(), to_beta = beta.sink(), x_value = x.value(),
       gamma_value = gamma.value(), mean, variance, epsilon](const Tensor& dy) {
        const Tensor dgamma = Like(gamma_value), dbeta = Like(gamma_value);
        const auto compute = [&](Write write, const Tensor& dx) {
          dy.backend()->BatchNormGradient(x_value, gamma_value, mean, variance, epsilon, dy, write,
                                          dx, dgamma, dbeta);
        };
        if (dy.num_elements() == 0) {  // the statistics are NaN, but nothing came of them
          dy.backend()->Fill(0, dgamma);
          dy.backend()->Fill(0, dbeta);
          to_x.Pass(dy);
        } else if (to_x.wanted()) {
          to_x.Add(compute);
        } else {
          compute(Write::kReplace, Tensor());
        }
        to_gamma.Pass(dgamma);
        to_beta.Pass(dbeta);
      });
}

Variable BatchNormInference(const Variable& x, const Variable& gamma, const Variable& beta,
                            const BatchStatistics& statistics, double epsilon) {
  CheckParameters(x, gamma, beta);
  CheckVector("the mean", statistics.mean, x.value());
  CheckVector("the variance", statistics.variance, x.value());
  const Tensor y = Like(x.value());
  x.backend()->BatchNormInference(x.value(), gamma.value(), beta.value(), statistics.mean,
                                  statistics.variance, epsilon, y);
  return Variable::Computed(
      y, {x, gamma, beta},
      [to_x = x.sink(), to_gamma = gamma.sink(), to_beta = beta.sink(), x_value = x.value(),
       gamma_value = gamma.value(), statistics, epsilon](const Tensor& dy) {
        Backend* const backend = dy.backend();
        const Tensor zeros = Like(gamma_value), ones = Like(gamma_value);
        backend->Fill(0, zeros);
        backend->Fill(1, ones);
        if (to_gamma.wanted()) {  // sum (x - mean) / sqrt(variance + epsilon) * dy
          const Tensor normal = Like(dy), product = Like(dy);
          backend->BatchNormInference(x_value, ones, zeros, statistics.mean, statistics.variance,
                                      epsilon, normal);
          backend->Binary(BinaryOp::kMultiply, normal, dy, Write::kReplace, product);
          to_gamma.Pass(SumRows(product));
        }
        if (to_beta.wanted()) to_beta.Pass(SumRows(dy));
        if (to_x.wanted()) {  // dy gamma / sqrt(variance + epsilon): the same map of dy, mean 0
          const Tensor dx = Like(dy);
          backend->BatchNormInference(dy, gamma_value, zeros, zeros, statistics.variance, epsilon,
                                      dx);
          to_x.Pass(dx);
        }
      });
}

}  // namespace parley::nn
