#ifndef PARLEY_NN_LAYERS_DENSE_H_
#define PARLEY_NN_LAYERS_DENSE_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// y = x kernel + bias, for x [..., inputs] and y [..., outputs]. Parameters "<name>/kernel"
// [inputs, outputs], from `initializer`, and "<name>/bias" [outputs], zeros.
std::unique_ptr<Module> NewDense(Backend* backend, const std::string& name, int64_t inputs,
                                 int64_t outputs, const Initializer& initializer);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_DENSE_H_
