#ifndef PARLEY_NN_MODELS_H_
#define PARLEY_NN_MODELS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nn/module.h"

namespace parley::nn {

// Which model, and what it works on. 0 of a size means the model's own.
struct ModelOptions {
  // The built-in models:
  //   linear       one dense layer
  //   mlp          dense layers of 256 and 128 with ReLU, and one to the outputs
  //   cnn          convolutions and dense layers, after LeNet; images of at least 4x4
  //   resnet18     He et al., 2016, in the form for images of 32x32; of at least 8x8
  //   lstm         a language model of `layers` (2) LSTM layers of `width` (256)
  //   transformer  a language model of `layers` (4) causal pre-norm blocks of `width` (256), with
  //                `heads` (4) that divide it
  //   wide_deep    Cheng et al., 2016: a linear model beside a deep one, with embeddings of `width`
  //                (16), over columns of categories and of numbers
  std::string name;
  // Of one example: {height, width, channels} of images, {features}, {time} of a language model,
  // the longest text, or {columns} of wide_deep's numbers, which may be 0.
  std::vector<int> feature_shape;
  int outputs = 1;  // classes, numbers, or a language model's vocabulary
  int layers = 0;
  int width = 0;
  int heads = 0;
  double dropout = 0;  // in [0, 1); of lstm, transformer and wide_deep
  // wide_deep's categories: the columns, and how many ids they have together. An id is in
  // [0, categories), and means something else in each column: each begins after the one before it.
  int category_columns = 0;
  int64_t categories = 0;
};

// Inputs are float32 features [batch, feature_shape...]; int32 ids [batch, time] of a language
// model, time at most the longest text's; of wide_deep, which wants ForwardInputs, int32 ids
// [batch, category_columns] and float32 numbers [batch, columns]. The output is [batch, outputs],
// or [batch * time, outputs] of a language model: logits or numbers, in float32 whatever the
// context's dtype (float64 where that is).
//
// INVALID_ARGUMENT when the name is unknown (the known ones are listed), or the input does not fit:
// a dimension or `outputs` below 1, a layer of more than 2^28 weights, or what is said above.
absl::StatusOr<std::unique_ptr<Module>> NewModel(Backend* backend, const ModelOptions& options);

// Of a model that needs nothing else.
absl::StatusOr<std::unique_ptr<Module>> NewModel(Backend* backend, absl::string_view name,
                                                 const std::vector<int>& feature_shape,
                                                 int outputs);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_H_
