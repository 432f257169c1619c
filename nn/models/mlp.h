#ifndef PARLEY_NN_MODELS_MLP_H_
#define PARLEY_NN_MODELS_MLP_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

// [batch, ...], `features` of each example, -> [batch, outputs].

// One dense layer.
std::unique_ptr<Module> NewLinear(Backend* backend, int64_t features, int64_t outputs);

// Dense layers of 256 and 128 with ReLU, and one to the outputs.
std::unique_ptr<Module> NewMlp(Backend* backend, int64_t features, int64_t outputs);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_MLP_H_
