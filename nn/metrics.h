#ifndef PARLEY_NN_METRICS_H_
#define PARLEY_NN_METRICS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tensor/tensor.h"

namespace parley::nn {

// Measures of how good predictions are, gathered batch by batch. Predictions are tensors of any
// floating dtype; Add waits for the device, and returns its error, INVALID_ARGUMENT when there are
// not as many labels as predictions or one is out of range. value() is NaN while it is undefined.
// Thread safety: none.

// How many of the rows of `logits` [..., classes] are largest at their label, the first of equal
// ones counting. 0 when the device has failed, which its next call tells.
int64_t CountCorrect(const Tensor& logits, absl::Span<const int32_t> labels);

// The share of rows of logits [..., classes] that are largest at their label, as above.
class Accuracy {
 public:
  absl::Status Add(const Tensor& logits, absl::Span<const int32_t> labels);
  int64_t rows() const { return rows_; }
  double value() const;

 private:
  int64_t rows_ = 0;
  int64_t correct_ = 0;
};

// The area under the ROC curve: how often a positive example scores above a negative one, ties
// counted half (Hanley and McNeil, 1982). Exact, so it keeps every score: 4 bytes an example, and
// as much again while value() sorts.
class Auc {
 public:
  // Labels are 0 or 1.
  absl::Status Add(const Tensor& scores, absl::Span<const int32_t> labels);
  void Add(float score, bool positive);
  int64_t examples() const { return static_cast<int64_t>(positives_.size() + negatives_.size()); }
  // NaN without a positive, without a negative, or with a NaN score. Takes n log n.
  double value() const;

 private:
  std::vector<float> positives_;
  std::vector<float> negatives_;
};

// The mean of (prediction - target)^2, summed in float64.
class SquaredError {
 public:
  absl::Status Add(const Tensor& predictions, absl::Span<const float> targets);
  int64_t elements() const { return elements_; }
  double value() const;

 private:
  int64_t elements_ = 0;
  double sum_ = 0;
};

}  // namespace parley::nn

#endif  // PARLEY_NN_METRICS_H_
