#ifndef PARLEY_NN_LAYERS_RESIDUAL_H_
#define PARLEY_NN_LAYERS_RESIDUAL_H_

#include <memory>

#include "nn/module.h"

namespace parley::nn {

// body(x) + shortcut(x), or body(x) + x without a shortcut (He et al., 2016). Both have outputs of
// one shape. Its parameters are the body's, then the shortcut's.
std::unique_ptr<Module> NewResidual(std::unique_ptr<Module> body,
                                    std::unique_ptr<Module> shortcut = nullptr);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_RESIDUAL_H_
