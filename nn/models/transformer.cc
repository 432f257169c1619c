#include "nn/models/transformer.h"

#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "nn/elementwise.h"
#include "nn/layers/activations.h"
#include "nn/layers/dense.h"
#include "nn/layers/dropout.h"
#include "nn/layers/embedding.h"
#include "nn/layers/function_layer.h"
#include "nn/layers/layer_norm.h"
#include "nn/layers/multi_head_attention.h"
#include "nn/layers/residual.h"
#include "nn/layers/sequential.h"
#include "nn/layout.h"

namespace parley::nn {
namespace {

using Layers = std::vector<std::unique_ptr<Module>>;

// x [batch, time, width] plus a learned vector for each place in the text.
class Positions final : public Module {
 public:
  Positions(Backend* backend, int64_t time, int64_t width)
      : table_{"positions/table", Initializer::Normal(0, 0.02f),
               Variable::Parameter(Tensor(backend, {time, width}))} {}

  Variable Forward(const Variable& x, const ForwardContext&) override {
    const int64_t time = x.shape()[1];
    CHECK_LE(time, table_.variable.shape()[0]) << "a text longer than the model's";
    return Add(x, Cast(Slice(table_.variable, 0, 0, time), x.dtype()));
  }
  std::vector<Parameter> parameters() const override { return {table_}; }

 private:
  const Parameter table_;
};

void AddBlock(Backend* backend, const std::string& name, const TransformerOptions& options,
              Layers* layers) {
  const int64_t width = options.width;
  Layers attention;
  attention.push_back(NewLayerNorm(backend, name + "/norm1", width));
  attention.push_back(NewMultiHeadAttention(backend, name + "/attention", width, options.heads,
                                            /*causal=*/true));
  attention.push_back(NewDropout(name + "/dropout1", options.dropout));
  layers->push_back(NewResidual(NewSequential(std::move(attention))));
  Layers dense;
  dense.push_back(NewLayerNorm(backend, name + "/norm2", width));
  dense.push_back(NewDense(backend, name + "/dense1", width, 4 * width,
                           Initializer::GlorotUniform(width, 4 * width)));
  dense.push_back(NewGelu());
  dense.push_back(NewDense(backend, name + "/dense2", 4 * width, width,
                           Initializer::GlorotUniform(4 * width, width)));
  dense.push_back(NewDropout(name + "/dropout2", options.dropout));
  layers->push_back(NewResidual(NewSequential(std::move(dense))));
}

}  // namespace

std::unique_ptr<Module> NewTransformer(Backend* backend, const TransformerOptions& options) {
  const int64_t width = options.width;
  Layers layers;
  layers.push_back(
      NewEmbedding(backend, "embedding", options.vocabulary, width, Initializer::Normal(0, 0.02f)));
  layers.push_back(std::make_unique<Positions>(backend, options.time, width));
  layers.push_back(NewDropout("dropout", options.dropout));
  for (int64_t i = 1; i <= options.layers; ++i) {
    AddBlock(backend, "block" + std::to_string(i), options, &layers);
  }
  layers.push_back(NewLayerNorm(backend, "norm", width));
  layers.push_back(NewFunctionLayer([width](const Variable& x) {
    return Reshape(x, {x.shape()[0] * x.shape()[1], width});
  }));
  layers.push_back(NewDense(backend, "dense", width, options.vocabulary,
                            Initializer::GlorotUniform(width, options.vocabulary)));
  return NewSequential(std::move(layers));
}

}  // namespace parley::nn
