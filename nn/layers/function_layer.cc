#include "nn/layers/function_layer.h"

#include <utility>

#include "nn/layout.h"

namespace parley::nn {
namespace {

class FunctionLayer final : public Module {
 public:
  explicit FunctionLayer(std::function<Variable(const Variable&)> function)
      : function_(std::move(function)) {}
  Variable Forward(const Variable& x, const ForwardContext&) override { return function_(x); }

 private:
  const std::function<Variable(const Variable&)> function_;
};

}  // namespace

std::unique_ptr<Module> NewFunctionLayer(std::function<Variable(const Variable&)> function) {
  return std::make_unique<FunctionLayer>(std::move(function));
}

std::unique_ptr<Module> NewFlatten() {
  return NewFunctionLayer([](const Variable& x) {
    int64_t rest = 1;
    for (size_t i = 1; i < x.shape().rank(); ++i) rest *= x.shape()[i];
    return Reshape(x, {x.shape()[0], rest});
  });
}

}  // namespace parley::nn
