#ifndef PARLEY_NN_LAYERS_CONV2D_H_
#define PARLEY_NN_LAYERS_CONV2D_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// Convolution of images x [batch, height, width, inputs] to [batch, ..., ..., outputs], plus a
// bias. Parameters "<name>/filter" [window.height, window.width, inputs, outputs], from
// `initializer`, and "<name>/bias" [outputs], zeros.
std::unique_ptr<Module> NewConv2d(Backend* backend, const std::string& name, const Window& window,
                                  int64_t inputs, int64_t outputs, const Initializer& initializer);

// The same without a bias: batch normalisation, which has one, follows.
std::unique_ptr<Module> NewConv2dWithoutBias(Backend* backend, const std::string& name,
                                             const Window& window, int64_t inputs, int64_t outputs,
                                             const Initializer& initializer);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_CONV2D_H_
