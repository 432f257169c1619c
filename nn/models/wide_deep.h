#ifndef PARLEY_NN_MODELS_WIDE_DEEP_H_
#define PARLEY_NN_MODELS_WIDE_DEEP_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

struct WideDeepOptions {
  int64_t category_columns = 1;
  int64_t categories = 1;  // ids of all columns together
  int64_t number_columns = 0;
  int64_t width = 16;  // of an embedding
  int64_t outputs = 1;
  double dropout = 0;  // after each hidden layer, in training
};

// Wide and deep learning (Cheng et al., 2016): the sum of a linear model of all columns, which
// remembers, and of dense layers of 128 and 64 with ReLU over the categories' embeddings and the
// numbers, which generalise. ForwardInputs takes int32 ids [batch, category_columns], each in
// [0, categories) and with another meaning in each column, and numbers [batch, number_columns];
// the output is [batch, outputs]. Computes in the context's dtype. Forward is a failed CHECK.
std::unique_ptr<Module> NewWideDeep(Backend* backend, const WideDeepOptions& options);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_WIDE_DEEP_H_
