#include "nn/layers/batch_norm2d.h"

#include <algorithm>

#include "nn/elementwise.h"
#include "nn/normalization.h"

namespace parley::nn {
namespace {

// What the statistics and parameters of a layer on this dtype are computed in.
DType StatisticDType(DType dtype) {
  return dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

// `tensor` in float32, not copied where it is.
Tensor ToFloat32(const Tensor& tensor) {
  if (tensor.dtype() == DType::kFloat32) return tensor;
  const Tensor out(tensor.backend(), tensor.shape());
  tensor.backend()->Cast(tensor, Write::kReplace, out);
  return out;
}

// y, with parameters that a Backward through it moves towards statistics: each gets the gradient
// scale * (its value - share * statistic).
struct Followed {
  Variable parameter;
  Tensor statistic;
  double share;
};
Variable Follow(const Variable& y, const std::vector<Followed>& all, double scale) {
  struct Pull {
    GradientSink sink;
    Tensor value;
    Tensor statistic;
    double share;
  };
  std::vector<Variable> inputs = {y};
  std::vector<Pull> pulls;
  for (const Followed& each : all) {
    inputs.push_back(each.parameter);
    pulls.push_back(
        {each.parameter.sink(), each.parameter.value(), ToFloat32(each.statistic), each.share});
  }
  return Variable::Computed(y.value(), inputs, [sink = y.sink(), pulls, scale](const Tensor& dy) {
    for (const Pull& pull : pulls) {
      pull.sink.Add([&](Write write, const Tensor& gradient) {
        Backend* const backend = gradient.backend();
        backend->Affine(scale, pull.value, 0, write, gradient);
        backend->Affine(-scale * pull.share, pull.statistic, 0, Write::kAdd, gradient);
      });
    }
    sink.Pass(dy);
  });
}

class BatchNorm2d final : public Module {
 public:
  BatchNorm2d(Backend* backend, const std::string& name, int64_t channels,
              const BatchNormOptions& options)
      : epsilon_(options.epsilon) {
    const auto make = [&](const char* what, float value) {
      return Parameter{name + "/" + what, Initializer::Constant(value),
                       Variable::Parameter(Tensor(backend, {channels}))};
    };
    gamma_ = make("gamma", 1);
    beta_ = make("beta", 0);
    mean_ = make("moving_mean", 0);
    variance_ = make("moving_variance", 1);
    mean_.averaged = variance_.averaged = static_cast<float>(1 - options.momentum);
  }

  Variable Forward(const Variable& x, const ForwardContext& context) override {
    const DType dtype = StatisticDType(x.dtype());
    const Variable gamma = Cast(gamma_.variable, dtype);
    const Variable beta = Cast(beta_.variable, dtype);
    if (!context.training) {
      return BatchNormInference(
          x, gamma, beta,
          {Cast(mean_.variable, dtype).value(), Cast(variance_.variable, dtype).value()}, epsilon_);
    }
    BatchStatistics statistics;
    const Variable y = BatchNorm(x, gamma, beta, epsilon_, &statistics);
    const double count = static_cast<double>(x.shape().rows());
    return Follow(y,
                  {{mean_.variable, statistics.mean, 1},
                   {variance_.variable, statistics.variance, count / std::max(1.0, count - 1)}},
                  context.loss_scale);
  }
  std::vector<Parameter> parameters() const override { return {gamma_, beta_, mean_, variance_}; }

 private:
  const double epsilon_;
  Parameter gamma_;
  Parameter beta_;
  Parameter mean_;
  Parameter variance_;
};

}  // namespace

std::unique_ptr<Module> NewBatchNorm2d(Backend* backend, const std::string& name, int64_t channels,
                                       const BatchNormOptions& options) {
  return std::make_unique<BatchNorm2d>(backend, name, channels, options);
}

}  // namespace parley::nn
