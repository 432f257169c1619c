#include "base/status.h"
#include "cuda/device_backend.h"
#include "cuda/kernels/batch_norm.h"
#include "cuda/kernels/cross_entropy.h"
#include "cuda/kernels/layer_norm.h"
#include "cuda/kernels/softmax.h"
#include "glog/logging.h"

// DeviceBackend's operations on rows: softmax and what is made of it, layer and batch
// normalisation.

namespace parley {
namespace {

// A tensor as rows of its last dimension, of which there may be any number when that is 0.
struct Matrix {
  int64_t rows = 1;
  int64_t columns = 0;
};

Matrix MatrixOf(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  CHECK_GT(shape.rank(), 0u);
  Matrix matrix;
  for (size_t axis = 0; axis + 1 < shape.rank(); ++axis) matrix.rows *= shape[axis];
  matrix.columns = shape.back();
  return matrix;
}

void CheckAlike(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == b.dtype() && a.num_elements() == b.num_elements())
      << NameOf(a.dtype()) << a.shape().ToString() << " and " << NameOf(b.dtype())
      << b.shape().ToString();
}

// Statistics and parameters of the normalisation of `x`.
void CheckVector(const Tensor& vector, int64_t size, const Tensor& x) {
  CHECK(vector.num_elements() == size &&
        vector.dtype() == (x.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32))
      << NameOf(vector.dtype()) << vector.shape().ToString() << " for " << NameOf(x.dtype())
      << x.shape().ToString();
}

}  // namespace

void DeviceBackend::Softmax(const Tensor& x, bool causal, const Tensor& y) {
  CheckAlike(x, y);
  const Matrix matrix = MatrixOf(x);
  const size_t rank = x.shape().rank();
  CHECK(!causal || rank >= 2);
  const int64_t causal_rows = causal ? x.shape()[rank - 2] : 0;
  Enqueue("Softmax", {&x}, {&y}, [&](Context& context) {
    return Launched(LaunchSoftmax(x.As<void>(), matrix.rows, matrix.columns, causal_rows, x.dtype(),
                                  y.As<void>(), context.compute()));
  });
}

void DeviceBackend::SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                                    const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(y, dx);
  const Matrix matrix = MatrixOf(y);
  Enqueue("SoftmaxGradient", {&y, &dy}, {&dx}, [&](Context& context) {
    return Launched(LaunchSoftmaxGradient(y.As<void>(), dy.As<void>(), matrix.rows, matrix.columns,
                                          y.dtype(), write, dx.As<void>(), context.compute()));
  });
}

void DeviceBackend::LogSoftmax(const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  const Matrix matrix = MatrixOf(x);
  Enqueue("LogSoftmax", {&x}, {&y}, [&](Context& context) {
    return Launched(LaunchLogSoftmax(x.As<void>(), matrix.rows, matrix.columns, x.dtype(),
                                     y.As<void>(), context.compute()));
  });
}

void DeviceBackend::LogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                                       const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(y, dx);
  const Matrix matrix = MatrixOf(y);
  Enqueue("LogSoftmaxGradient", {&y, &dy}, {&dx}, [&](Context& context) {
    return Launched(LaunchLogSoftmaxGradient(y.As<void>(), dy.As<void>(), matrix.rows,
                                             matrix.columns, y.dtype(), write, dx.As<void>(),
                                             context.compute()));
  });
}

void DeviceBackend::SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels,
                                        const Tensor& probabilities, const Tensor& loss) {
  CheckAlike(logits, probabilities);
  const Matrix matrix = MatrixOf(logits);
  CHECK(labels.dtype() == DType::kInt32 && labels.num_elements() == matrix.rows);
  CHECK(loss.dtype() == logits.dtype() && loss.num_elements() == 1);
  Enqueue("SoftmaxCrossEntropy", {&logits, &labels}, {&probabilities, &loss},
          [&](Context& context) -> absl::Status {
            PARLEY_ASSIGN_OR_RETURN(
                const std::shared_ptr<void> scratch,
                context.memory().Allocate(CrossEntropyScratchBytes(matrix.rows, logits.dtype())));
            return Launched(LaunchCrossEntropy(
                logits.As<void>(), labels.int_data(), matrix.rows, matrix.columns, logits.dtype(),
                probabilities.As<void>(), loss.As<void>(), scratch.get(), context.compute()));
          });
}

void DeviceBackend::SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                                const Tensor& dloss, Write write,
                                                const Tensor& dlogits) {
  CheckAlike(probabilities, dlogits);
  const Matrix matrix = MatrixOf(probabilities);
  CHECK(labels.dtype() == DType::kInt32 && labels.num_elements() == matrix.rows);
  CHECK(dloss.dtype() == probabilities.dtype() && dloss.num_elements() == 1);
  Enqueue("SoftmaxCrossEntropyGradient", {&probabilities, &labels, &dloss}, {&dlogits},
          [&](Context& context) {
            return Launched(LaunchCrossEntropyGradient(probabilities.As<void>(), labels.int_data(),
                                                       dloss.As<void>(), matrix.rows,
                                                       matrix.columns, probabilities.dtype(), write,
                                                       dlogits.As<void>(), context.compute()));
          });
}

void DeviceBackend::LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              double epsilon, const Tensor& y, const Tensor& mean,
                              const Tensor& rstd) {
  CheckAlike(x, y);
  const Matrix matrix = MatrixOf(x);
  for (const Tensor* const vector : {&gamma, &beta}) CheckVector(*vector, matrix.columns, x);
  for (const Tensor* const vector : {&mean, &rstd}) CheckVector(*vector, matrix.rows, x);
  Enqueue("LayerNorm", {&x, &gamma, &beta}, {&y, &mean, &rstd}, [&](Context& context) {
    return Launched(LaunchLayerNorm(x.As<void>(), gamma.As<void>(), beta.As<void>(), epsilon,
                                    matrix.rows, matrix.columns, x.dtype(), y.As<void>(),
                                    mean.As<void>(), rstd.As<void>(), context.compute()));
  });
}

void DeviceBackend::LayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                      const Tensor& rstd, const Tensor& dy, Write write,
                                      const Tensor& dx) {
  CheckAlike(x, dy);
  CheckAlike(x, dx);
  const Matrix matrix = MatrixOf(x);
  CheckVector(gamma, matrix.columns, x);
  for (const Tensor* const vector : {&mean, &rstd}) CheckVector(*vector, matrix.rows, x);
  Enqueue("LayerNormGradient", {&x, &gamma, &mean, &rstd, &dy}, {&dx}, [&](Context& context) {
    return Launched(LaunchLayerNormGradient(
        x.As<void>(), gamma.As<void>(), mean.As<void>(), rstd.As<void>(), dy.As<void>(),
        matrix.rows, matrix.columns, x.dtype(), write, dx.As<void>(), context.compute()));
  });
}

void DeviceBackend::LayerNormParameterGradient(const Tensor& x, const Tensor& mean,
                                               const Tensor& rstd, const Tensor& dy,
                                               const Tensor& dgamma, const Tensor& dbeta) {
  CheckAlike(x, dy);
  const Matrix matrix = MatrixOf(x);
  for (const Tensor* const vector : {&mean, &rstd}) CheckVector(*vector, matrix.rows, x);
  for (const Tensor* const vector : {&dgamma, &dbeta}) CheckVector(*vector, matrix.columns, x);
  Enqueue("LayerNormParameterGradient", {&x, &mean, &rstd, &dy}, {&dgamma, &dbeta},
          [&](Context& context) -> absl::Status {
            PARLEY_ASSIGN_OR_RETURN(
                const std::shared_ptr<void> scratch,
                context.memory().Allocate(LayerNormParameterGradientScratchBytes(
                    matrix.rows, matrix.columns, x.dtype())));
            return Launched(LaunchLayerNormParameterGradient(
                x.As<void>(), mean.As<void>(), rstd.As<void>(), dy.As<void>(), matrix.rows,
                matrix.columns, x.dtype(), dgamma.As<void>(), dbeta.As<void>(), scratch.get(),
                context.compute()));
          });
}

void DeviceBackend::BatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              double epsilon, const Tensor& y, const Tensor& mean,
                              const Tensor& variance) {
  CheckAlike(x, y);
  const Matrix matrix = MatrixOf(x);
  for (const Tensor* const vector : {&gamma, &beta, &mean, &variance}) {
    CheckVector(*vector, matrix.columns, x);
  }
  Enqueue("BatchNorm", {&x, &gamma, &beta}, {&y, &mean, &variance},
          [&](Context& context) -> absl::Status {
            PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> scratch,
                                    context.memory().Allocate(BatchNormScratchBytes(
                                        matrix.rows, matrix.columns, x.dtype())));
            return Launched(LaunchBatchNorm(x.As<void>(), gamma.As<void>(), beta.As<void>(),
                                            epsilon, matrix.rows, matrix.columns, x.dtype(),
                                            y.As<void>(), mean.As<void>(), variance.As<void>(),
                                            scratch.get(), context.compute()));
          });
}

void DeviceBackend::BatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& mean, const Tensor& variance, double epsilon,
                                       const Tensor& y) {
  CheckAlike(x, y);
  const Matrix matrix = MatrixOf(x);
  for (const Tensor* const vector : {&gamma, &beta, &mean, &variance}) {
    CheckVector(*vector, matrix.columns, x);
  }
  Enqueue("BatchNormInference", {&x, &gamma, &beta, &mean, &variance}, {&y}, [&](Context& context) {
    return Launched(LaunchBatchNormInference(
        x.As<void>(), gamma.As<void>(), beta.As<void>(), mean.As<void>(), variance.As<void>(),
        epsilon, matrix.rows, matrix.columns, x.dtype(), y.As<void>(), context.compute()));
  });
}

void DeviceBackend::BatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                      const Tensor& variance, double epsilon, const Tensor& dy,
                                      Write write, const Tensor& dx, const Tensor& dgamma,
                                      const Tensor& dbeta) {
  CheckAlike(x, dy);
  if (dx.defined()) CheckAlike(x, dx);
  const Matrix matrix = MatrixOf(x);
  for (const Tensor* const vector : {&gamma, &mean, &variance, &dgamma, &dbeta}) {
    CheckVector(*vector, matrix.columns, x);
  }
  Enqueue("BatchNormGradient", {&x, &gamma, &mean, &variance, &dy}, {&dx, &dgamma, &dbeta},
          [&](Context& context) -> absl::Status {
            PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> scratch,
                                    context.memory().Allocate(BatchNormScratchBytes(
                                        matrix.rows, matrix.columns, x.dtype())));
            return Launched(LaunchBatchNormGradient(
                x.As<void>(), gamma.As<void>(), mean.As<void>(), variance.As<void>(), epsilon,
                dy.As<void>(), matrix.rows, matrix.columns, x.dtype(), write, dx.As<void>(),
                dgamma.As<void>(), dbeta.As<void>(), scratch.get(), context.compute()));
          });
}

}  // namespace parley
