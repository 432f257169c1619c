#ifndef PARLEY_NN_LAYERS_POOL2D_H_
#define PARLEY_NN_LAYERS_POOL2D_H_

#include <memory>

#include "nn/module.h"

namespace parley::nn {

// Layers that make images [batch, height, width, channels] smaller; see nn/images.h.
std::unique_ptr<Module> NewMaxPool2d(const Window& window);
std::unique_ptr<Module> NewAvgPool2d(const Window& window);
// [batch, height, width, channels] -> [batch, channels], the mean over the image.
std::unique_ptr<Module> NewGlobalAvgPool2d();

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_POOL2D_H_
