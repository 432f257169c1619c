#ifndef PARLEY_NN_LAYERS_FUNCTION_LAYER_H_
#define PARLEY_NN_LAYERS_FUNCTION_LAYER_H_

#include <functional>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

// A layer without parameters, made of a function: NewFunctionLayer(Relu).
std::unique_ptr<Module> NewFunctionLayer(std::function<Variable(const Variable&)> function);

// [batch, ...] -> [batch, the rest]
std::unique_ptr<Module> NewFlatten();

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_FUNCTION_LAYER_H_
