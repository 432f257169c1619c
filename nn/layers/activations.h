#ifndef PARLEY_NN_LAYERS_ACTIVATIONS_H_
#define PARLEY_NN_LAYERS_ACTIVATIONS_H_

#include <memory>

#include "nn/module.h"

namespace parley::nn {

// Elementwise functions as layers; UnaryOp (tensor/ops.h) has the formulas.
std::unique_ptr<Module> NewRelu();
std::unique_ptr<Module> NewSigmoid();
std::unique_ptr<Module> NewTanh();
std::unique_ptr<Module> NewGelu();
// x where x > 0, else slope * x, for a slope in [0, 1) (Maas et al., 2013).
std::unique_ptr<Module> NewLeakyRelu(double slope);
// Over the last dimension.
std::unique_ptr<Module> NewSoftmax();

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_ACTIVATIONS_H_
