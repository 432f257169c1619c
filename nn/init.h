#ifndef PARLEY_NN_INIT_H_
#define PARLEY_NN_INIT_H_

#include <cstdint>

#include "nn/module.h"

namespace parley::nn {

// Gives every parameter of `module` the first values that a shard would give it, from its
// initializer, `seed` and its name (base/initializer.h); for a program without shards.
void InitializeParameters(Module* module, uint64_t seed);

}  // namespace parley::nn

#endif  // PARLEY_NN_INIT_H_
