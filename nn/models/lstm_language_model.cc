#include "nn/models/lstm_language_model.h"

#include <string>
#include <utility>
#include <vector>

#include "nn/layers/dense.h"
#include "nn/layers/dropout.h"
#include "nn/layers/embedding.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/recurrent.h"
#include "nn/layers/sequential.h"
#include "nn/layout.h"

namespace parley::nn {

std::unique_ptr<Module> NewLstmLanguageModel(Backend* backend,
                                             const LstmLanguageModelOptions& options) {
  const int64_t width = options.width;
  std::vector<std::unique_ptr<Module>> layers;
  layers.push_back(
      NewEmbedding(backend, "embedding", options.vocabulary, width, Initializer::Normal(0, 1)));
  for (int64_t i = 1; i <= options.layers; ++i) {
    const std::string number = std::to_string(i);
    layers.push_back(NewLstm(backend, "lstm" + number, width, width));
    layers.push_back(NewDropout("dropout" + number, options.dropout));
  }
  layers.push_back(NewFunctionLayer([width](const Variable& x) {
    return Reshape(x, {x.shape()[0] * x.shape()[1], width});
  }));
  layers.push_back(NewDense(backend, "dense", width, options.vocabulary,
                            Initializer::GlorotUniform(width, options.vocabulary)));
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
