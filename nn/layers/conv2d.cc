#include "nn/layers/conv2d.h"

#include "nn/functions.h"

namespace parley::nn {
namespace {

class Conv2dLayer final : public Module {
 public:
  Conv2dLayer(Backend* backend, const std::string& name, const Window& window, int64_t inputs,
              int64_t outputs, const Initializer& initializer)
      : window_(window),
        filter_{
            name + "/filter", initializer,
            Variable::Parameter(Tensor(backend, {window.height, window.width, inputs, outputs}))},
        bias_{name + "/bias", Initializer::Zeros(),
              Variable::Parameter(Tensor(backend, {outputs}))} {}

  Variable Forward(const Variable& x) override {
    return AddBias(Conv2d(x, filter_.variable, window_), bias_.variable);
  }
  std::vector<Parameter> parameters() const override { return {filter_, bias_}; }

 private:
  const Window window_;
  const Parameter filter_;
  const Parameter bias_;
};

}  // namespace

std::unique_ptr<Module> NewConv2d(Backend* backend, const std::string& name, const Window& window,
                                  int64_t inputs, int64_t outputs, const Initializer& initializer) {
  return std::make_unique<Conv2dLayer>(backend, name, window, inputs, outputs, initializer);
}

}  // namespace parley::nn
