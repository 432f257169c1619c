#include "nn/layers/layer_norm.h"

#include "nn/elementwise.h"
#include "nn/normalization.h"

namespace parley::nn {
namespace {

class LayerNormLayer final : public Module {
 public:
  LayerNormLayer(Backend* backend, const std::string& name, int64_t width, double epsilon)
      : epsilon_(epsilon),
        gamma_{name + "/gamma", Initializer::Constant(1),
               Variable::Parameter(Tensor(backend, {width}))},
        beta_{name + "/beta", Initializer::Zeros(), Variable::Parameter(Tensor(backend, {width}))} {
  }

  Variable Forward(const Variable& x, const ForwardContext&) override {
    const DType dtype = x.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
    return LayerNorm(x, Cast(gamma_.variable, dtype), Cast(beta_.variable, dtype), epsilon_);
  }
  std::vector<Parameter> parameters() const override { return {gamma_, beta_}; }

 private:
  const double epsilon_;
  const Parameter gamma_;
  const Parameter beta_;
};

}  // namespace

std::unique_ptr<Module> NewLayerNorm(Backend* backend, const std::string& name, int64_t width,
                                     double epsilon) {
  return std::make_unique<LayerNormLayer>(backend, name, width, epsilon);
}

}  // namespace parley::nn
