#include "nn/models.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nn/elementwise.h"
#include "nn/models/cnn.h"
#include "nn/models/lstm_language_model.h"
#include "nn/models/mlp.h"
#include "nn/models/resnet.h"
#include "nn/models/transformer.h"
#include "nn/models/wide_deep.h"

namespace parley::nn {
namespace {

// Of one layer: 1 GiB.
constexpr int64_t kMostWeights = int64_t{1} << 28;
// The most inputs that an output layer has whose width nobody chooses (resnet18's).
constexpr int64_t kWidestInside = 512;
// So that 4 * width * width, the most that is made of it, is within kMostWeights.
constexpr int64_t kWidest = int64_t{1} << 13;
constexpr int64_t kMostLayers = 1024;

// A model in the context's dtype, for float32 inputs and outputs.
class Model final : public Module {
 public:
  explicit Model(std::unique_ptr<Module> model) : model_(std::move(model)) {}

  Variable Forward(const Variable& x, const ForwardContext& context) override {
    return ForwardInputs({x}, context);
  }
  Variable ForwardInputs(absl::Span<const Variable> inputs,
                         const ForwardContext& context) override {
    std::vector<Variable> cast;
    for (const Variable& x : inputs) {
      cast.push_back(IsFloating(x.dtype()) ? Cast(x, context.dtype) : x);
    }
    const bool is_double = context.dtype == DType::kFloat64;
    return Cast(model_->ForwardInputs(cast, context),
                is_double ? DType::kFloat64 : DType::kFloat32);
  }
  std::vector<Parameter> parameters() const override { return model_->parameters(); }

 private:
  const std::unique_ptr<Module> model_;
};

// Makes a model of options whose sizes are given and checked.
using Factory = std::unique_ptr<Module> (*)(Backend*, const ModelOptions&);

enum class InputKind { kFeatures, kImages, kText, kColumns };

struct Kind {
  const char* name;
  InputKind input;
  int smallest_image;  // of kImages, each side
  // What 0 means.
  int layers;
  int width;
  int heads;
  Factory make;
};

int64_t Features(const ModelOptions& options) {
  int64_t features = 1;
  for (const int dimension : options.feature_shape) features *= dimension;
  return features;
}

const Kind kKinds[] = {
    {"linear", InputKind::kFeatures, 0, 1, 1, 1,
     [](Backend* backend, const ModelOptions& options) {
       return NewLinear(backend, Features(options), options.outputs);
     }},
    {"mlp", InputKind::kFeatures, 0, 1, 1, 1,
     [](Backend* backend, const ModelOptions& options) {
       return NewMlp(backend, Features(options), options.outputs);
     }},
    {"cnn", InputKind::kImages, 4, 1, 1, 1,
     [](Backend* backend, const ModelOptions& options) {
       const std::vector<int>& shape = options.feature_shape;
       return NewCnn(backend, shape[0], shape[1], shape[2], options.outputs);
     }},
    {"resnet18", InputKind::kImages, 8, 1, 1, 1,
     [](Backend* backend, const ModelOptions& options) {
       return NewResnet18(backend, options.feature_shape[2], options.outputs);
     }},
    {"lstm", InputKind::kText, 0, 2, 256, 1,
     [](Backend* backend, const ModelOptions& options) {
       LstmLanguageModelOptions of;
       of.vocabulary = options.outputs;
       of.layers = options.layers;
       of.width = options.width;
       of.dropout = options.dropout;
       return NewLstmLanguageModel(backend, of);
     }},
    {"transformer", InputKind::kText, 0, 4, 256, 4,
     [](Backend* backend, const ModelOptions& options) {
       TransformerOptions of;
       of.vocabulary = options.outputs;
       of.time = options.feature_shape[0];
       of.layers = options.layers;
       of.width = options.width;
       of.heads = options.heads;
       of.dropout = options.dropout;
       return NewTransformer(backend, of);
     }},
    {"wide_deep", InputKind::kColumns, 0, 1, 16, 1,
     [](Backend* backend, const ModelOptions& options) {
       WideDeepOptions of;
       of.category_columns = options.category_columns;
       of.categories = options.categories;
       of.number_columns = options.feature_shape[0];
       of.width = options.width;
       of.outputs = options.outputs;
       of.dropout = options.dropout;
       return NewWideDeep(backend, of);
     }},
};

// What is wrong with the sizes, empty when nothing is.
std::string Fault(const Kind& kind, const ModelOptions& options) {
  const std::vector<int>& shape = options.feature_shape;
  if (options.outputs < 1) return "no outputs";
  if (options.layers < 1 || options.layers > kMostLayers) {
    return absl::StrCat(options.layers, " layers; at least 1 and at most ", kMostLayers);
  }
  if (options.width < 1 || options.width > kWidest) {
    return absl::StrCat("width ", options.width, "; at least 1 and at most ", kWidest);
  }
  if (options.heads < 1 || options.width % options.heads != 0) {
    return absl::StrCat(options.heads, " heads do not divide width ", options.width);
  }
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    return absl::StrCat("dropout ", options.dropout, " is not in [0, 1)");
  }
  int64_t features = 1;
  for (const int dimension : shape) {
    if (dimension < (kind.input == InputKind::kColumns ? 0 : 1)) return "no features";
    features = std::min(features * dimension, kMostWeights);  // so that it cannot overflow
  }
  switch (kind.input) {
    case InputKind::kFeatures:
      break;
    case InputKind::kImages:
      if (shape.size() != 3 || shape[0] < kind.smallest_image || shape[1] < kind.smallest_image) {
        return absl::StrCat("it wants images {height, width, channels} of at least ",
                            kind.smallest_image, "x", kind.smallest_image);
      }
      break;
    case InputKind::kText:
      if (shape.size() != 1) return "it wants texts {time}";
      break;
    case InputKind::kColumns:
      if (shape.size() != 1) return "it wants the number of columns of numbers {columns}";
      if (options.category_columns < 1 || options.categories < options.category_columns) {
        return absl::StrCat(options.category_columns, " columns of categories with ",
                            options.categories, " ids; each wants one");
      }
      break;
  }
  // Whatever is multiplied here is at most 2^41.
  const int64_t inside = std::max<int64_t>(kWidestInside, options.width);
  const int64_t widest = std::max<int64_t>(inside, options.outputs);
  const int64_t most_ids = kMostWeights / widest;
  bool too_big = int64_t{options.outputs} * inside > kMostWeights;
  if (kind.input == InputKind::kColumns) {
    too_big = too_big || options.categories > most_ids ||
              (int64_t{options.category_columns} * options.width + features) > most_ids;
  } else {
    too_big =
        too_big || features * (kind.input == InputKind::kText ? inside : widest) > kMostWeights;
  }
  if (too_big) return absl::StrCat("a layer would have more than ", kMostWeights, " weights");
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> NewModel(Backend* backend, const ModelOptions& options) {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) {
    names.push_back(kind.name);
    if (options.name != kind.name) continue;
    ModelOptions given = options;
    if (given.layers == 0) given.layers = kind.layers;
    if (given.width == 0) given.width = kind.width;
    if (given.heads == 0) given.heads = kind.heads;
    const std::string fault = Fault(kind, given);
    if (!fault.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model ", options.name, " from features of shape [",
                       absl::StrJoin(options.feature_shape, ", "), "] to ", options.outputs,
                       " outputs: ", fault));
    }
    return std::make_unique<Model>(kind.make(backend, given));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no model ", options.name, "; there are ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<std::unique_ptr<Module>> NewModel(Backend* backend, absl::string_view name,
                                                 const std::vector<int>& feature_shape,
                                                 int outputs) {
  ModelOptions options;
  options.name = std::string(name);
  options.feature_shape = feature_shape;
  options.outputs = outputs;
  return NewModel(backend, options);
}

}  // namespace parley::nn
