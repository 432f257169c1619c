#include "nn/layers/activations.h"

#include "nn/elementwise.h"
#include "nn/layers/function_layer.h"
#include "nn/softmax.h"

namespace parley::nn {

std::unique_ptr<Module> NewRelu() { return NewFunctionLayer(Relu); }
std::unique_ptr<Module> NewSigmoid() { return NewFunctionLayer(Sigmoid); }
std::unique_ptr<Module> NewTanh() { return NewFunctionLayer(Tanh); }
std::unique_ptr<Module> NewGelu() { return NewFunctionLayer(Gelu); }
std::unique_ptr<Module> NewLeakyRelu(double slope) {
  return NewFunctionLayer(
      [slope](const Variable& x) { return Add(Scale(x, slope), Scale(Relu(x), 1 - slope)); });
}
std::unique_ptr<Module> NewSoftmax() { return NewFunctionLayer(Softmax); }

}  // namespace parley::nn
