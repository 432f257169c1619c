#include "nn/layers/pool2d.h"

#include "nn/images.h"
#include "nn/layers/function_layer.h"

namespace parley::nn {

std::unique_ptr<Module> NewMaxPool2d(const Window& window) {
  return NewFunctionLayer([window](const Variable& x) { return MaxPool2d(x, window); });
}
std::unique_ptr<Module> NewAvgPool2d(const Window& window) {
  return NewFunctionLayer([window](const Variable& x) { return AvgPool2d(x, window); });
}
std::unique_ptr<Module> NewGlobalAvgPool2d() { return NewFunctionLayer(GlobalAvgPool2d); }

}  // namespace parley::nn
