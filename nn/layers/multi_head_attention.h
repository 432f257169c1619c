#ifndef PARLEY_NN_LAYERS_MULTI_HEAD_ATTENTION_H_
#define PARLEY_NN_LAYERS_MULTI_HEAD_ATTENTION_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// Self-attention of x [batch, time, width] (Vaswani et al., 2017, section 3.2): dense layers make
// queries, keys and values; each of `heads` equal pieces of the width computes
// softmax(q k^T / sqrt(width / heads)) v; a last dense layer mixes them. `causal`: a time sees only
// itself and earlier ones. `heads` divides `width`; anything else is a failed CHECK.
//
// Parameters "<name>/query/kernel" [width, width] and "<name>/query/bias" [width], likewise "key",
// "value" and "output". Kernels are GlorotUniform.
std::unique_ptr<Module> NewMultiHeadAttention(Backend* backend, const std::string& name,
                                              int64_t width, int64_t heads, bool causal);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_MULTI_HEAD_ATTENTION_H_
