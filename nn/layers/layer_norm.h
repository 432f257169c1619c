#ifndef PARLEY_NN_LAYERS_LAYER_NORM_H_
#define PARLEY_NN_LAYERS_LAYER_NORM_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// Each row of x [..., width] less its mean, over its deviation, times gamma, plus beta (Ba et al.,
// 2016; epsilon under the root). Parameters "<name>/gamma" [width], ones, and "<name>/beta"
// [width], zeros, which stay float32 for 16-bit inputs.
std::unique_ptr<Module> NewLayerNorm(Backend* backend, const std::string& name, int64_t width,
                                     double epsilon = 1e-5);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_LAYER_NORM_H_
