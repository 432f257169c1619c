#include "nn/layers/conv2d.h"

#include "nn/elementwise.h"
#include "nn/images.h"

namespace parley::nn {
namespace {

class Conv2dLayer final : public Module {
 public:
  Conv2dLayer(Backend* backend, const std::string& name, const Window& window, int64_t inputs,
              int64_t outputs, const Initializer& initializer, bool has_bias)
      : window_(window), has_bias_(has_bias) {
    parameters_.push_back(
        {name + "/filter", initializer,
         Variable::Parameter(Tensor(backend, {window.height, window.width, inputs, outputs}))});
    if (has_bias) {
      parameters_.push_back(
          {name + "/bias", Initializer::Zeros(), Variable::Parameter(Tensor(backend, {outputs}))});
    }
  }

  Variable Forward(const Variable& x, const ForwardContext&) override {
    const Variable y = Conv2d(x, Cast(parameters_[0].variable, x.dtype()), window_);
    return has_bias_ ? AddBias(y, Cast(parameters_[1].variable, x.dtype())) : y;
  }
  std::vector<Parameter> parameters() const override { return parameters_; }

 private:
  const Window window_;
  const bool has_bias_;
  std::vector<Parameter> parameters_;  // the filter, then the bias
};

}  // namespace

std::unique_ptr<Module> NewConv2d(Backend* backend, const std::string& name, const Window& window,
                                  int64_t inputs, int64_t outputs, const Initializer& initializer) {
  return std::make_unique<Conv2dLayer>(backend, name, window, inputs, outputs, initializer, true);
}

std::unique_ptr<Module> NewConv2dWithoutBias(Backend* backend, const std::string& name,
                                             const Window& window, int64_t inputs, int64_t outputs,
                                             const Initializer& initializer) {
  return std::make_unique<Conv2dLayer>(backend, name, window, inputs, outputs, initializer, false);
}

}  // namespace parley::nn
