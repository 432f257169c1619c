#include "nn/loss.h"

#include "glog/logging.h"
#include "nn/elementwise.h"
#include "nn/reductions.h"

namespace parley::nn {
namespace {

// In the dtype that a loss is computed in.
Variable Widened(const Variable& predictions) {
  return SizeOf(predictions.dtype()) == 2 ? Cast(predictions, DType::kFloat32) : predictions;
}

Tensor ToDevice(Backend* backend, absl::Span<const float> values) {
  const Tensor tensor(backend, Shape{static_cast<int64_t>(values.size())});
  backend->CopyFromHost(values.data(), tensor);
  return tensor;
}

// The targets as an input of the shape and dtype of the predictions `x`.
Variable Targets(const Variable& x, const Tensor& targets) {
  CHECK_EQ(targets.num_elements(), x.value().num_elements())
      << "targets " << targets.shape().ToString() << " for predictions " << x.shape().ToString();
  return Cast(Variable::Input(targets.Reshape(x.shape())), x.dtype());
}

}  // namespace

Variable MeanSquaredError(const Variable& predictions, const Tensor& targets) {
  const Variable x = Widened(predictions);
  return Mean(Square(Subtract(x, Targets(x, targets))));
}

Variable SoftmaxCrossEntropyLoss(const Variable& logits, const Tensor& labels) {
  const Variable x = Widened(logits);
  Backend* const backend = x.backend();
  CHECK(x.shape().rank() > 0 && labels.num_elements() == x.shape().rows())
      << labels.num_elements() << " labels for logits " << x.shape().ToString();
  CHECK(labels.dtype() == DType::kInt32) << NameOf(labels.dtype()) << " labels";
  const Tensor flat = labels.Reshape({labels.num_elements()});
  const Tensor matrix = x.value().Reshape({x.shape().rows(), x.shape().back()});
  const Tensor probabilities(backend, matrix.shape(), matrix.dtype());
  const Tensor loss(backend, {}, matrix.dtype());
  backend->SoftmaxCrossEntropy(matrix, flat, probabilities, loss);
  return Variable::Computed(loss, {x}, [to_x = x.sink(), flat, probabilities](const Tensor& dloss) {
    to_x.Add([&](Write write, const Tensor& dx) {
      dloss.backend()->SoftmaxCrossEntropyGradient(probabilities, flat, dloss, write,
                                                   dx.Reshape(probabilities.shape()));
    });
  });
}

Variable BinaryCrossEntropyLoss(const Variable& logits, const Tensor& targets) {
  const Variable x = Widened(logits);
  const Variable t = Targets(x, targets);
  return Mean(Add(Multiply(Softplus(Scale(x, -1)), t), Multiply(Softplus(x), Affine(t, -1, 1))));
}

Variable KlDivergenceLoss(const Variable& log_probabilities, const Tensor& targets) {
  const Variable x = Widened(log_probabilities);
  CHECK_GT(x.shape().rank(), 0u) << "probabilities are not a scalar";
  const Variable t = Targets(x, targets);
  // The logarithm of t where t is above this, and a finite one, to be multiplied by 0, where it is
  // 0.
  constexpr double kLeast = 1e-37;
  const Variable log_t = Log(Affine(Relu(Affine(t, 1, -kLeast)), 1, kLeast));
  return Scale(Sum(Multiply(t, Subtract(log_t, x))), 1 / static_cast<double>(x.shape().rows()));
}

Variable MeanSquaredError(const Variable& predictions, absl::Span<const float> targets) {
  return MeanSquaredError(predictions, ToDevice(predictions.backend(), targets));
}

Variable SoftmaxCrossEntropyLoss(const Variable& logits, absl::Span<const int32_t> labels) {
  const int64_t classes = logits.shape().rank() == 0 ? 0 : logits.shape().back();
  for (const int32_t label : labels) {
    CHECK(label >= 0 && label < classes) << "label " << label << " of " << classes << " classes";
  }
  const Tensor on_device(logits.backend(), {static_cast<int64_t>(labels.size())}, DType::kInt32);
  logits.backend()->CopyFromHost(labels.data(), on_device);
  return SoftmaxCrossEntropyLoss(logits, on_device);
}

Variable BinaryCrossEntropyLoss(const Variable& logits, absl::Span<const float> targets) {
  return BinaryCrossEntropyLoss(logits, ToDevice(logits.backend(), targets));
}

Variable KlDivergenceLoss(const Variable& log_probabilities, absl::Span<const float> targets) {
  return KlDivergenceLoss(log_probabilities, ToDevice(log_probabilities.backend(), targets));
}

}  // namespace parley::nn
