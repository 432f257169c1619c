#ifndef PARLEY_NN_MODELS_H_
#define PARLEY_NN_MODELS_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nn/module.h"

namespace parley::nn {

// The built-in models, by name:
//   linear  one dense layer
//   mlp     dense layers of 256 and 128 with ReLU, and one to the outputs
//   cnn     two of (convolution 3x3, ReLU, max pooling 2x2) with 16 and 32 channels, dense 128
//           with ReLU, one to the outputs; after LeNet (LeCun et al., 1998)
// Input is [batch, feature_shape...], output [batch, outputs]: logits of classes, or numbers.
//
// INVALID_ARGUMENT when the name is unknown (the known ones are listed), or the input does not fit:
// a dimension or `outputs` below 1, a layer of more than 2^28 weights, or no images {height, width,
// channels} of at least 4x4 for cnn.
absl::StatusOr<std::unique_ptr<Module>> NewModel(Backend* backend, absl::string_view name,
                                                 const std::vector<int>& feature_shape,
                                                 int outputs);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_H_
