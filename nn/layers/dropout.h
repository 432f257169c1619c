#ifndef PARLEY_NN_LAYERS_DROPOUT_H_
#define PARLEY_NN_LAYERS_DROPOUT_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// In training each element becomes 0 with probability `rate`, in [0, 1), and is divided by 1 - rate
// otherwise (Srivastava et al., 2014); else x itself. Which ones is a function of the context's
// seed and step, and of `name`: the layers of a model have different ones, so that a step can be
// computed again.
std::unique_ptr<Module> NewDropout(const std::string& name, double rate);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_DROPOUT_H_
