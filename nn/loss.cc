#include "nn/loss.h"

#include <algorithm>
#include <vector>

#include "glog/logging.h"
#include "nn/functions.h"

namespace parley::nn {

Variable MeanSquaredError(const Variable& predictions, absl::Span<const float> targets) {
  CHECK_EQ(static_cast<size_t>(predictions.value().num_elements()), targets.size());
  const Tensor on_device(predictions.backend(), predictions.shape());
  on_device.backend()->CopyFromHost(targets.data(), on_device);
  const Variable difference = Add(predictions, Scale(Variable::Input(on_device), -1));
  return Mean(Multiply(difference, difference));
}

Variable SoftmaxCrossEntropyLoss(const Variable& logits, absl::Span<const int32_t> labels) {
  CHECK_EQ(static_cast<size_t>(logits.shape().rows()), labels.size());
  const Tensor on_device(logits.backend(), {static_cast<int64_t>(labels.size())}, DType::kInt32);
  on_device.backend()->CopyFromHost(labels.data(), on_device);
  return SoftmaxCrossEntropy(logits, on_device);
}

int64_t CountCorrect(const Tensor& logits, absl::Span<const int32_t> labels) {
  std::vector<float> values(static_cast<size_t>(logits.num_elements()));
  if (!logits.backend()->CopyToHost(logits, values.data()).ok()) return 0;
  const int64_t classes = logits.shape().back();
  int64_t correct = 0;
  for (size_t row = 0; row < labels.size(); ++row) {
    const auto begin = values.begin() + static_cast<int64_t>(row) * classes;
    correct += std::max_element(begin, begin + classes) - begin == labels[row] ? 1 : 0;
  }
  return correct;
}

}  // namespace parley::nn
