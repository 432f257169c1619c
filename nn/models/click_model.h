#ifndef PARLEY_NN_MODELS_CLICK_MODEL_H_
#define PARLEY_NN_MODELS_CLICK_MODEL_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

struct ClickModelOptions {
  enum class Kind {
    kWideDeep,  // Cheng et al., 2016
    kDeepFm,    // Guo et al., 2017
    kDcn,       // DCN-v2, in parallel: Wang et al., 2021
  };
  Kind kind = Kind::kDeepFm;
  int64_t fields = 1;        // ids of an example
  int64_t width = 8;         // of an id's embedding
  int64_t hidden = 64;       // units of the first dense layer; the second has half as many
  int64_t cross_layers = 2;  // of kDcn
};

// Whether somebody will click: of rows that are kept elsewhere, in a table of a parameter server.
// Forward takes [batch, fields, 1 + width]: of each id its weight in the linear part, and its
// embedding; the output is [batch], logits. With e the embeddings of an example, side by side:
//   all       the sum of the weights, and dense layers with ReLU over e
//   kDeepFm   the factorisation machine's sum of the products of all pairs of embeddings
//   kDcn      cross layers x <- e * (W x + b) + x from x = e, and a dense layer over the last x
// Parameters are the dense layers': "deep/dense1/kernel" and so on.
std::unique_ptr<Module> NewClickModel(Backend* backend, const ClickModelOptions& options);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_CLICK_MODEL_H_
