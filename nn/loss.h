#ifndef PARLEY_NN_LOSS_H_
#define PARLEY_NN_LOSS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "nn/variable.h"

namespace parley::nn {

// Losses: scalars to make small, means over the batch, NaN for an empty one. Those of 16-bit
// predictions are computed, and returned, in float32. Labels and targets are constant to the
// gradient; they are on the host (a span), or a tensor on the predictions' device, whose values
// then are not checked. What does not fit is a failed CHECK.

// mean((predictions - targets)^2) over all elements; as many targets, of any floating dtype, as
// predictions.
Variable MeanSquaredError(const Variable& predictions, const Tensor& targets);
Variable MeanSquaredError(const Variable& predictions, absl::Span<const float> targets);

// The mean of -log softmax(logits[..., classes])[label] over the rows, one label each, in
// [0, classes); int32 in a tensor.
Variable SoftmaxCrossEntropyLoss(const Variable& logits, const Tensor& labels);
Variable SoftmaxCrossEntropyLoss(const Variable& logits, absl::Span<const int32_t> labels);

// mean(-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x))) over all logits x and their targets t in
// [0, 1], of any floating dtype: as t softplus(-x) + (1 - t) softplus(x), which neither overflows
// nor cancels.
Variable BinaryCrossEntropyLoss(const Variable& logits, const Tensor& targets);
Variable BinaryCrossEntropyLoss(const Variable& logits, absl::Span<const float> targets);

// The mean over rows of sum_j t_j (log t_j - x_j), for x [..., classes] the logarithms of
// probabilities (LogSoftmax) and t probabilities, of any floating dtype; 0 where t_j is 0, for a
// finite x_j (Kullback and Leibler, 1951).
Variable KlDivergenceLoss(const Variable& log_probabilities, const Tensor& targets);
Variable KlDivergenceLoss(const Variable& log_probabilities, absl::Span<const float> targets);

}  // namespace parley::nn

#endif  // PARLEY_NN_LOSS_H_
