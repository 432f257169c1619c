#include "nn/layers/dense.h"

#include "nn/elementwise.h"
#include "nn/matrix.h"

namespace parley::nn {
namespace {

class Dense final : public Module {
 public:
  Dense(Backend* backend, const std::string& name, int64_t inputs, int64_t outputs,
        const Initializer& initializer)
      : kernel_{name + "/kernel", initializer,
                Variable::Parameter(Tensor(backend, {inputs, outputs}))},
        bias_{name + "/bias", Initializer::Zeros(),
              Variable::Parameter(Tensor(backend, {outputs}))} {}

  Variable Forward(const Variable& x, const ForwardContext&) override {
    return AddBias(MatMul(x, Cast(kernel_.variable, x.dtype())), Cast(bias_.variable, x.dtype()));
  }
  std::vector<Parameter> parameters() const override { return {kernel_, bias_}; }

 private:
  const Parameter kernel_;
  const Parameter bias_;
};

}  // namespace

std::unique_ptr<Module> NewDense(Backend* backend, const std::string& name, int64_t inputs,
                                 int64_t outputs, const Initializer& initializer) {
  return std::make_unique<Dense>(backend, name, inputs, outputs, initializer);
}

}  // namespace parley::nn
