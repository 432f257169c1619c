#include "nn/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "tensor/backend.h"

namespace parley::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

absl::StatusOr<std::vector<float>> ToHost(const Tensor& tensor) {
  Tensor narrow = tensor;
  if (tensor.dtype() != DType::kFloat32) {
    narrow = Tensor(tensor.backend(), tensor.shape());
    tensor.backend()->Cast(tensor, Write::kReplace, narrow);
  }
  std::vector<float> values(static_cast<size_t>(tensor.num_elements()));
  PARLEY_RETURN_IF_ERROR(narrow.backend()->CopyToHost(narrow, values.data()));
  return values;
}

absl::Status CheckCount(int64_t predictions, size_t labels) {
  if (static_cast<size_t>(predictions) == labels) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("metric: ", labels, " labels for ", predictions, " predictions"));
}

absl::StatusOr<int64_t> Correct(const Tensor& logits, absl::Span<const int32_t> labels) {
  const Shape& shape = logits.shape();
  if (shape.rank() == 0 || shape.back() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("metric: logits ", shape.ToString(), " have no classes"));
  }
  PARLEY_RETURN_IF_ERROR(CheckCount(shape.rows(), labels.size()));
  PARLEY_ASSIGN_OR_RETURN(const std::vector<float> values, ToHost(logits));
  int64_t correct = 0;
  const float* row = values.data();
  for (size_t i = 0; i < labels.size(); ++i, row += shape.back()) {
    correct += std::max_element(row, row + shape.back()) - row == labels[i] ? 1 : 0;
  }
  return correct;
}

}  // namespace

int64_t CountCorrect(const Tensor& logits, absl::Span<const int32_t> labels) {
  return Correct(logits, labels).value_or(0);
}

absl::Status Accuracy::Add(const Tensor& logits, absl::Span<const int32_t> labels) {
  const int64_t classes = logits.shape().rank() == 0 ? 0 : logits.shape().back();
  for (const int32_t label : labels) {
    if (label < 0 || label >= classes) {
      return absl::InvalidArgumentError(
          absl::StrCat("metric: label ", label, " of ", classes, " classes"));
    }
  }
  PARLEY_ASSIGN_OR_RETURN(const int64_t correct, Correct(logits, labels));
  correct_ += correct;
  rows_ += logits.shape().rows();
  return absl::OkStatus();
}

double Accuracy::value() const {
  return rows_ == 0 ? kUndefined : static_cast<double>(correct_) / static_cast<double>(rows_);
}

absl::Status Auc::Add(const Tensor& scores, absl::Span<const int32_t> labels) {
  PARLEY_RETURN_IF_ERROR(CheckCount(scores.num_elements(), labels.size()));
  for (const int32_t label : labels) {
    if (label != 0 && label != 1) {
      return absl::InvalidArgumentError(absl::StrCat("metric: label ", label, " is not 0 or 1"));
    }
  }
  PARLEY_ASSIGN_OR_RETURN(const std::vector<float> values, ToHost(scores));
  for (size_t i = 0; i < labels.size(); ++i) Add(values[i], labels[i] == 1);
  return absl::OkStatus();
}

void Auc::Add(float score, bool positive) { (positive ? positives_ : negatives_).push_back(score); }

double Auc::value() const {
  if (positives_.empty() || negatives_.empty()) return kUndefined;
  std::vector<float> positives = positives_, negatives = negatives_;
  for (std::vector<float>* scores : {&positives, &negatives}) {
    for (const float score : *scores) {
      if (std::isnan(score)) return kUndefined;
    }
    std::sort(scores->begin(), scores->end());
  }
  // Of the negatives in order, how many are below, and not above, the present positive.
  size_t below = 0, not_above = 0;
  double wins = 0;
  for (const float score : positives) {
    while (below < negatives.size() && negatives[below] < score) ++below;
    while (not_above < negatives.size() && negatives[not_above] <= score) ++not_above;
    wins += static_cast<double>(below) + 0.5 * static_cast<double>(not_above - below);
  }
  return wins / static_cast<double>(positives.size()) / static_cast<double>(negatives.size());
}

absl::Status SquaredError::Add(const Tensor& predictions, absl::Span<const float> targets) {
  PARLEY_RETURN_IF_ERROR(CheckCount(predictions.num_elements(), targets.size()));
  PARLEY_ASSIGN_OR_RETURN(const std::vector<float> values, ToHost(predictions));
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(values[i]) - static_cast<double>(targets[i]);
    sum_ += error * error;
  }
  elements_ += predictions.num_elements();
  return absl::OkStatus();
}

double SquaredError::value() const {
  return elements_ == 0 ? kUndefined : sum_ / static_cast<double>(elements_);
}

}  // namespace parley::nn
