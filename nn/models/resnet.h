#ifndef PARLEY_NN_MODELS_RESNET_H_
#define PARLEY_NN_MODELS_RESNET_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

// ResNet-18 (He et al., 2016) in the form for images of 32x32: [batch, height, width, channels] ->
// [batch, outputs]. A convolution 3x3 to 64 channels; four stages of two basic blocks with 64, 128,
// 256 and 512 channels, of which all but the first halve the image; the mean over what is left of
// it; a dense layer. Every convolution is followed by batch normalisation.
std::unique_ptr<Module> NewResnet18(Backend* backend, int64_t channels, int64_t outputs);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_RESNET_H_
