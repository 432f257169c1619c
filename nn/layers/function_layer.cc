#include "nn/layers/function_layer.h"

#include <utility>

#include "nn/functions.h"

namespace parley::nn {
namespace {

class FunctionLayer final : public Module {
 public:
  explicit FunctionLayer(std::function<Variable(const Variable&)> function)
      : function_(std::move(function)) {}
  Variable Forward(const Variable& x) override { return function_(x); }

 private:
  const std::function<Variable(const Variable&)> function_;
};

}  // namespace

std::unique_ptr<Module> NewFunctionLayer(std::function<Variable(const Variable&)> function) {
  return std::make_unique<FunctionLayer>(std::move(function));
}

std::unique_ptr<Module> NewRelu() { return NewFunctionLayer(Relu); }
std::unique_ptr<Module> NewSigmoid() { return NewFunctionLayer(Sigmoid); }
std::unique_ptr<Module> NewTanh() { return NewFunctionLayer(Tanh); }
std::unique_ptr<Module> NewSoftmax() { return NewFunctionLayer(Softmax); }
std::unique_ptr<Module> NewMaxPool2d(const Window& window) {
  return NewFunctionLayer([window](const Variable& x) { return MaxPool2d(x, window); });
}
std::unique_ptr<Module> NewFlatten() {
  return NewFunctionLayer([](const Variable& x) {
    const int64_t batch = x.shape()[0];
    return Reshape(x, {batch, batch == 0 ? 0 : x.value().num_elements() / batch});
  });
}

}  // namespace parley::nn
