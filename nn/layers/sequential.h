#ifndef PARLEY_NN_LAYERS_SEQUENTIAL_H_
#define PARLEY_NN_LAYERS_SEQUENTIAL_H_

#include <memory>
#include <vector>

#include "nn/module.h"

namespace parley::nn {

// One layer after another.
std::unique_ptr<Module> NewSequential(std::vector<std::unique_ptr<Module>> layers);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_SEQUENTIAL_H_
