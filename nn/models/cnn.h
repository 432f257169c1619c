#ifndef PARLEY_NN_MODELS_CNN_H_
#define PARLEY_NN_MODELS_CNN_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

// Images [batch, height, width, channels] of at least 4x4 -> [batch, outputs]: two of (convolution
// 3x3, ReLU, max pooling 2x2) with 16 and 32 channels, dense 128 with ReLU, one to the outputs;
// after LeNet (LeCun et al., 1998).
std::unique_ptr<Module> NewCnn(Backend* backend, int64_t height, int64_t width, int64_t channels,
                               int64_t outputs);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_CNN_H_
