#ifndef PARLEY_NN_LOSS_H_
#define PARLEY_NN_LOSS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "nn/variable.h"

namespace parley::nn {

// Losses: scalars to make small, means over the batch. Labels and targets are on the host.

// mean((predictions - targets)^2) over all elements; as many targets as predictions.
Variable MeanSquaredError(const Variable& predictions, absl::Span<const float> targets);

// The mean of -log softmax(logits[n, classes])[label]; n labels, each in [0, classes).
Variable SoftmaxCrossEntropyLoss(const Variable& logits, absl::Span<const int32_t> labels);

// How many of the n rows of `logits` [n, classes] are largest at their label, the first of equal
// ones counting.
int64_t CountCorrect(const Tensor& logits, absl::Span<const int32_t> labels);

}  // namespace parley::nn

#endif  // PARLEY_NN_LOSS_H_
