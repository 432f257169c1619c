#ifndef PARLEY_NN_LAYERS_EMBEDDING_H_
#define PARLEY_NN_LAYERS_EMBEDDING_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// A learned vector for each id: int32 or int64 ids of any shape, each in [0, ids) (the caller's
// duty), -> [that shape..., width], in the context's dtype. Parameter "<name>/table" [ids, width],
// from `initializer`.
std::unique_ptr<Module> NewEmbedding(Backend* backend, const std::string& name, int64_t ids,
                                     int64_t width, const Initializer& initializer);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_EMBEDDING_H_
