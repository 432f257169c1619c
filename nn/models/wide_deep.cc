#include "nn/models/wide_deep.h"

#include <utility>
#include <vector>

#include "glog/logging.h"
#include "nn/elementwise.h"
#include "nn/layers/activations.h"
#include "nn/layers/dense.h"
#include "nn/layers/dropout.h"
#include "nn/layers/embedding.h"
#include "nn/layers/sequential.h"
#include "nn/layout.h"
#include "nn/reductions.h"

namespace parley::nn {
namespace {

class WideDeep final : public Module {
 public:
  WideDeep(Backend* backend, const WideDeepOptions& options)
      : options_(options),
        // A linear model of which of the categories an example has, so it begins at 0.
        wide_categories_(NewEmbedding(backend, "wide/categories", options.categories,
                                      options.outputs, Initializer::Zeros())),
        embedding_(NewEmbedding(backend, "deep/embedding", options.categories, options.width,
                                Initializer::Normal(0, 0.05f))) {
    if (options.number_columns > 0) {
      wide_numbers_ = NewDense(backend, "wide/numbers", options.number_columns, options.outputs,
                               Initializer::Zeros());
    }
    const int64_t inputs = options.category_columns * options.width + options.number_columns;
    std::vector<std::unique_ptr<Module>> layers;
    layers.push_back(NewDense(backend, "deep/dense1", inputs, 128, Initializer::HeNormal(inputs)));
    layers.push_back(NewRelu());
    layers.push_back(NewDropout("deep/dropout1", options.dropout));
    layers.push_back(NewDense(backend, "deep/dense2", 128, 64, Initializer::HeNormal(128)));
    layers.push_back(NewRelu());
    layers.push_back(NewDropout("deep/dropout2", options.dropout));
    layers.push_back(NewDense(backend, "deep/dense3", 64, options.outputs,
                              Initializer::GlorotUniform(64, options.outputs)));
    deep_ = NewSequential(std::move(layers));
  }

  Variable Forward(const Variable&, const ForwardContext&) override {
    LOG(FATAL) << "wide_deep has two inputs";
    return {};
  }

  Variable ForwardInputs(absl::Span<const Variable> inputs,
                         const ForwardContext& context) override {
    CHECK_EQ(inputs.size(), 2u) << "wide_deep has two inputs";
    const Variable& ids = inputs[0];
    Variable wide = Sum(wide_categories_->Forward(ids, context), {1});
    Variable features = Reshape(embedding_->Forward(ids, context),
                                {ids.shape()[0], options_.category_columns * options_.width});
    if (wide_numbers_ != nullptr) {
      const Variable numbers = Cast(inputs[1], context.dtype);
      wide = Add(wide, wide_numbers_->Forward(numbers, context));
      features = Concat({features, numbers}, 1);
    }
    return Add(wide, deep_->Forward(features, context));
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all;
    for (const auto* part : {&wide_categories_, &wide_numbers_, &embedding_, &deep_}) {
      if (*part == nullptr) continue;
      for (Parameter& parameter : (*part)->parameters()) all.push_back(std::move(parameter));
    }
    return all;
  }

 private:
  const WideDeepOptions options_;
  const std::unique_ptr<Module> wide_categories_;
  const std::unique_ptr<Module> embedding_;
  std::unique_ptr<Module> wide_numbers_;  // null without numbers
  std::unique_ptr<Module> deep_;
};

}  // namespace

std::unique_ptr<Module> NewWideDeep(Backend* backend, const WideDeepOptions& options) {
  return std::make_unique<WideDeep>(backend, options);
}

}  // namespace parley::nn
