#include "nn/models/click_model.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nn/elementwise.h"
#include "nn/layers/activations.h"
#include "nn/layers/dense.h"
#include "nn/layers/sequential.h"
#include "nn/layout.h"
#include "nn/reductions.h"

namespace parley::nn {
namespace {

using Kind = ClickModelOptions::Kind;

class ClickModel final : public Module {
 public:
  ClickModel(Backend* backend, const ClickModelOptions& options) : options_(options) {
    const int64_t inputs = options.fields * options.width;
    const int64_t hidden = options.hidden;
    std::vector<std::unique_ptr<Module>> layers;
    layers.push_back(
        NewDense(backend, "deep/dense1", inputs, hidden, Initializer::HeNormal(inputs)));
    layers.push_back(NewRelu());
    layers.push_back(
        NewDense(backend, "deep/dense2", hidden, hidden / 2, Initializer::HeNormal(hidden)));
    layers.push_back(NewRelu());
    layers.push_back(
        NewDense(backend, "deep/dense3", hidden / 2, 1, Initializer::GlorotUniform(hidden / 2, 1)));
    parts_.push_back(NewSequential(std::move(layers)));
    if (options.kind != Kind::kDcn) return;
    for (int64_t i = 1; i <= options.cross_layers; ++i) {
      parts_.push_back(NewDense(backend, absl::StrCat("cross", i), inputs, inputs,
                                Initializer::GlorotUniform(inputs, inputs)));
    }
    parts_.push_back(
        NewDense(backend, "cross/out", inputs, 1, Initializer::GlorotUniform(inputs, 1)));
  }

  Variable Forward(const Variable& rows, const ForwardContext& context) override {
    const int64_t batch = rows.shape()[0];
    const Variable weights = Reshape(Slice(rows, 2, 0, 1), {batch, options_.fields});
    const Variable embeddings = Slice(rows, 2, 1, options_.width);
    const Variable flat = Reshape(embeddings, {batch, options_.fields * options_.width});
    Variable logits = Sum(weights, {1});
    logits = Add(logits, Reshape(parts_[0]->Forward(flat, context), {batch}));
    if (options_.kind == Kind::kDeepFm) {
      // Half of what the square of the sum has beyond the sum of the squares.
      const Variable square_of_sum = Square(Sum(embeddings, {1}));
      const Variable sum_of_squares = Sum(Square(embeddings), {1});
      const Variable pairs = Scale(Subtract(square_of_sum, sum_of_squares), 0.5);
      logits = Add(logits, Sum(pairs, {1}));
    }
    if (options_.kind == Kind::kDcn) {
      Variable x = flat;
      for (size_t i = 1; i + 1 < parts_.size(); ++i) {
        x = Add(Multiply(flat, parts_[i]->Forward(x, context)), x);
      }
      logits = Add(logits, Reshape(parts_.back()->Forward(x, context), {batch}));
    }
    return logits;
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all;
    for (const std::unique_ptr<Module>& part : parts_) {
      for (Parameter& parameter : part->parameters()) all.push_back(std::move(parameter));
    }
    return all;
  }

 private:
  const ClickModelOptions options_;
  // The dense layers; of kDcn the cross layers, too, and what comes after them.
  std::vector<std::unique_ptr<Module>> parts_;
};

}  // namespace

std::unique_ptr<Module> NewClickModel(Backend* backend, const ClickModelOptions& options) {
  return std::make_unique<ClickModel>(backend, options);
}

}  // namespace parley::nn
