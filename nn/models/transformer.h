#ifndef PARLEY_NN_MODELS_TRANSFORMER_H_
#define PARLEY_NN_MODELS_TRANSFORMER_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

struct TransformerOptions {
  int64_t vocabulary = 256;
  int64_t time = 128;  // the longest text
  int64_t layers = 4;
  int64_t width = 256;
  int64_t heads = 4;   // divides `width`
  double dropout = 0;  // of the embedding and of what each half of a block adds, in training
};

// A language model: int32 ids [batch, at most time] -> logits of each next one [batch * time,
// vocabulary]. Embeddings of ids and learned positions; blocks of causal self-attention and two
// dense layers (4 * width, GELU), each normalised before and added to what came in (Vaswani et al.,
// 2017; pre-norm as in Radford et al., 2019); a last norm and a dense layer. Computes in the
// context's dtype. A longer text is a failed CHECK.
std::unique_ptr<Module> NewTransformer(Backend* backend, const TransformerOptions& options);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_TRANSFORMER_H_
