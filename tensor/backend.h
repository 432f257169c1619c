#ifndef PARLEY_TENSOR_BACKEND_H_
#define PARLEY_TENSOR_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tensor/ops.h"
#include "tensor/tensor.h"

namespace parley {

// A copy between the device and the host that runs beside computations; StartCopyToHost and
// StartCopyFromHost begin one. Destroying it does not end it. Thread safety: one thread.
class Transfer {
 public:
  virtual ~Transfer() = default;
  virtual bool done() const = 0;
  // Until it is done. The copy's own error, or the backend's earlier one.
  virtual absl::Status Wait() = 0;
};

// A Backend computes on one device: the primitive operations of which nn/ is made.
//
// Tensors are on this backend's device, and of shapes that fit (the caller's duty; a mistake is a
// failed CHECK). Unless said otherwise all floating tensors of one call have one dtype, any of
// float32, float64, bfloat16, float16; 16-bit ones are computed, and summed, in float32 and rounded
// to nearest even once, at the end. Every tensor may be empty. Outputs do not overlap inputs,
// except where they are the same tensor of an elementwise operation without broadcasting. Images
// are [batch, height, width, channels], filters [height, width, channels in, channels out].
//
// `write` says whether a result replaces what its tensor held or is added to it.
//
// Order and errors: operations take effect in the order of the calls, but may run later than these
// return. One that fails makes the backend fail: later operations do nothing, and Synchronize,
// CopyToHost and AllFinite return that first error, for good.
//
// The same inputs give the same bits on every call. Thread safety: safe from any thread, on
// tensors that nobody else writes.
class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu", "cuda:0".
  virtual const char* name() const = 0;

  // `bytes` not initialised bytes on the device, aligned to kBufferAlignment.
  virtual std::shared_ptr<void> Allocate(size_t bytes) = 0;
  // The same on the host, from where copies to the device are fastest; readable by the caller.
  virtual std::shared_ptr<void> AllocateHost(size_t bytes) = 0;

  // Copies of all the tensor's bytes. The buffer may be reused when the call returns.
  virtual void CopyFromHost(const void* host, const Tensor& to) = 0;
  // Waits for all operations before it.
  virtual absl::Status CopyToHost(const Tensor& from, void* host) = 0;
  // The same beside computations: after all operations called before, and, for the one from the
  // host, before all called later. The buffer, of AllocateHost or any other, stays in use until the
  // transfer is done.
  virtual std::unique_ptr<Transfer> StartCopyFromHost(const void* host, const Tensor& to) = 0;
  virtual std::unique_ptr<Transfer> StartCopyToHost(const Tensor& from, void* host) = 0;
  // Waits for all operations so far.
  virtual absl::Status Synchronize() = 0;

  // out = value, of any dtype
  virtual void Fill(double value, const Tensor& out) = 0;
  // out = x converted, rounding to nearest even; any two dtypes. Integers from floats truncate.
  virtual void Cast(const Tensor& x, Write write, const Tensor& out) = 0;
  // out = scale * x + shift
  virtual void Affine(double scale, const Tensor& x, double shift, Write write,
                      const Tensor& out) = 0;
  virtual void Unary(UnaryOp op, const Tensor& x, const Tensor& y) = 0;
  // dx = dy * op'(x), where y = op(x). Of x and y only what op needs (ops.h) must be defined.
  virtual void UnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy,
                             Write write, const Tensor& dx) = 0;
  // out = a op b; dimensions are aligned at the last one, and one of size 1, or missing, is
  // repeated (NumPy's broadcasting); out has the broadcast shape.
  virtual void Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
                      const Tensor& out) = 0;
  // out = x reduced over the dimensions where out, aligned at the last one, has size 1 or none: the
  // adjoint of broadcasting. Over nothing: 0 for a sum, -infinity for a maximum.
  virtual void Reduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) = 0;
  // Whether all elements are finite. Waits, as CopyToHost does.
  virtual absl::StatusOr<bool> AllFinite(const Tensor& x) = 0;

  // out[m, n] = op(a)[m, k] op(b)[k, n], where op transposes if told so. Tensors of higher rank are
  // matrices of rows().
  virtual void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      Write write, const Tensor& out) = 0;
  // out[..., m, n] = scale * op(a)[..., m, k] op(b)[..., k, n], one product for each index of the
  // equal leading dimensions.
  virtual void BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                           bool transpose_b, Write write, const Tensor& out) = 0;

  // out's dimension i is x's dimension axes[i].
  virtual void Permute(const Tensor& x, absl::Span<const int> axes, Write write,
                       const Tensor& out) = 0;
  // out = the part of x of out's shape that begins at `begin`, one index a dimension.
  virtual void ReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                         const Tensor& out) = 0;
  // The part of out of x's shape that begins at `begin` = x; the rest of out stays.
  virtual void WriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                          const Tensor& out) = 0;
  // out[i, :] = table[indices[i], :] for a table of [rows, width]; indices, int32 or int64 of any
  // shape, in [0, rows).
  virtual void GatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) = 0;
  // dtable[indices[i], :] += rows[i, :], in the order of i; kReplace zeroes dtable first.
  virtual void ScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                              const Tensor& dtable) = 0;

  // Over the last dimension; the largest element is subtracted first. Causal: row i of the last two
  // dimensions sees only columns 0 to i, the others become 0.
  virtual void Softmax(const Tensor& x, bool causal, const Tensor& y) = 0;
  // dx = y * (dy - sum(y * dy))
  virtual void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                               const Tensor& dx) = 0;
  // y = x - log sum exp x over the last dimension; dx = dy - exp(y) sum(dy)
  virtual void LogSoftmax(const Tensor& x, const Tensor& y) = 0;
  virtual void LogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                                  const Tensor& dx) = 0;
  // probabilities = softmax(logits[n, classes]); loss[0] = mean over i of -log probabilities[i,
  // labels[i]], NaN when n is 0. `labels` is int32 [n], each in [0, classes).
  virtual void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels,
                                   const Tensor& probabilities, const Tensor& loss) = 0;
  // dlogits = (probabilities - onehot(labels)) * dloss[0] / n
  virtual void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                           const Tensor& dloss, Write write,
                                           const Tensor& dlogits) = 0;

  // Normalisation of x [..., n]. The statistics and the parameters' tensors are float64 for a
  // float64 x and float32 for any other; rstd = 1 / sqrt(variance + epsilon), the variance over the
  // count, not one less.
  //
  // Layer (Ba et al., 2016): over the last dimension. y = (x - mean) * rstd * gamma + beta; gamma
  // and beta are [n], mean and rstd [rows].
  virtual void LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                         const Tensor& y, const Tensor& mean, const Tensor& rstd) = 0;
  virtual void LayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                 const Tensor& rstd, const Tensor& dy, Write write,
                                 const Tensor& dx) = 0;
  // dgamma and dbeta are replaced.
  virtual void LayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                          const Tensor& dy, const Tensor& dgamma,
                                          const Tensor& dbeta) = 0;
  // Batch (Ioffe and Szegedy, 2015): over all dimensions but the last; all vectors are [n].
  virtual void BatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                         const Tensor& y, const Tensor& mean, const Tensor& variance) = 0;
  // y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with statistics that are given.
  virtual void BatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                  const Tensor& mean, const Tensor& variance, double epsilon,
                                  const Tensor& y) = 0;
  // All three at once, for they share their sums. dgamma and dbeta are replaced, and computed even
  // when dx is not defined.
  virtual void BatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                 const Tensor& variance, double epsilon, const Tensor& dy,
                                 Write write, const Tensor& dx, const Tensor& dgamma,
                                 const Tensor& dbeta) = 0;

  // y[i] = x[i] / (1 - rate) where random number i is at least rate, else 0 (Srivastava et al.,
  // 2014), for rate in [0, 1). The number is word i % 4 of Philox (base/philox.h) keyed by `seed`
  // on counter (i / 4, stream), over 2^32; so the gradient is the same function of dy.
  virtual void Dropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
                       const Tensor& y) = 0;

  virtual void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
                      const Tensor& y) = 0;
  virtual void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                                   Write write, const Tensor& dx) = 0;
  virtual void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window,
                                    Write write, const Tensor& dfilter) = 0;

  // `argmax`, int32 and shaped like y, gets the place in its image (row * width + column) of each
  // maximum, the first of equal ones. Padding, narrower than the window, never wins; NaN always
  // does, so that it is noticed.
  virtual void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                         const Tensor& argmax) = 0;
  virtual void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window,
                                 Write write, const Tensor& dx) = 0;
  // Each output is the sum of its window over the window's size, padding counted as zeros.
  virtual void AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) = 0;
  virtual void AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                                 const Tensor& dx) = 0;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_BACKEND_H_
