#ifndef PARLEY_NN_MODELS_GAN_H_
#define PARLEY_NN_MODELS_GAN_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

// The two players of a generative adversarial network (Goodfellow et al., 2014) on images [batch,
// height, width, channels] with values in [-1, 1]. Both are made of dense layers; both compute in
// their input's dtype.

// [batch, latent] random numbers -> images. Dense 256 and 512 with ReLU, and one with tanh.
// Parameters "generator/...".
std::unique_ptr<Module> NewGenerator(Backend* backend, int64_t latent, int64_t height,
                                     int64_t width, int64_t channels);

// Images -> [batch, 1] logits: large where the images look real. Dense 512 and 256 with leaky ReLU
// (slope 0.2) and dropout 0.3 in training, and one to the logit. Parameters "discriminator/...".
std::unique_ptr<Module> NewDiscriminator(Backend* backend, int64_t height, int64_t width,
                                         int64_t channels);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_GAN_H_
