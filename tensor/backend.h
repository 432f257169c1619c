#ifndef PARLEY_TENSOR_BACKEND_H_
#define PARLEY_TENSOR_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/tensor.h"

namespace parley {

enum class Activation { kRelu, kSigmoid, kTanh };

// Whether a result replaces what its tensor held or is added to it.
enum class Write { kReplace, kAdd };

// How a window slides over an image that has `padding` rows and columns added on every side. An
// output has (in + 2 * padding - window) / stride + 1 rows, columns likewise.
struct Window {
  int64_t height = 1;
  int64_t width = 1;
  int64_t stride = 1;
  int64_t padding = 0;

  int64_t OutputHeight(int64_t in) const { return (in + 2 * padding - height) / stride + 1; }
  int64_t OutputWidth(int64_t in) const { return (in + 2 * padding - width) / stride + 1; }

  // Whether it finds a place in an image of this size at all.
  bool Fits(int64_t image_height, int64_t image_width) const {
    return height > 0 && width > 0 && stride > 0 && padding >= 0 &&
           image_height + 2 * padding >= height && image_width + 2 * padding >= width;
  }
};

// A Backend computes on one device: the primitive operations of which nn/ is made. Tensors are
// float32 unless said otherwise, on this backend's device, of shapes that fit (the caller's duty; a
// mistake is a failed CHECK), and outputs do not overlap inputs except where they are the same
// tensor of an elementwise operation. Images are [batch, height, width, channels], filters [height,
// width, channels in, channels out].
//
// The same inputs give the same bits on every call.
// Thread safety: safe from any thread, on tensors that nobody else writes.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const char* name() const = 0;

  // `bytes` not initialised bytes on the device, aligned to kBufferAlignment.
  virtual std::shared_ptr<void> Allocate(size_t bytes) = 0;
  virtual void CopyFromHost(const void* host, const Tensor& to) = 0;
  virtual void CopyToHost(const Tensor& from, void* host) = 0;

  virtual void Fill(float value, const Tensor& out) = 0;
  // out = a + b
  virtual void Add(const Tensor& a, const Tensor& b, const Tensor& out) = 0;
  // out = a * b, elementwise
  virtual void Multiply(const Tensor& a, const Tensor& b, Write write, const Tensor& out) = 0;
  // out = factor * x
  virtual void Scale(float factor, const Tensor& x, Write write, const Tensor& out) = 0;
  // out[0] = the sum of x, in float64
  virtual void Sum(const Tensor& x, const Tensor& out) = 0;

  // out[m, n] = op(a)[m, k] op(b)[k, n], where op transposes if told so. Tensors of higher rank are
  // matrices of rows().
  virtual void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      Write write, const Tensor& out) = 0;
  // out[i, j] = x[i, j] + bias[j]
  virtual void AddBias(const Tensor& x, const Tensor& bias, const Tensor& out) = 0;
  // out[j] = the sum of x[i, j] over i
  virtual void SumRows(const Tensor& x, Write write, const Tensor& out) = 0;

  virtual void Activate(Activation activation, const Tensor& x, const Tensor& y) = 0;
  // dx = dy * f'(x), computed from y = f(x)
  virtual void ActivateGradient(Activation activation, const Tensor& y, const Tensor& dy,
                                Write write, const Tensor& dx) = 0;

  // Over the last dimension; the largest element is subtracted first.
  virtual void Softmax(const Tensor& x, const Tensor& y) = 0;
  // dx = y * (dy - sum(y * dy))
  virtual void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                               const Tensor& dx) = 0;
  // probabilities = softmax(logits[n, classes]); loss[0] = mean over i of -log probabilities[i,
  // labels[i]]. `labels` is int32 [n], each in [0, classes).
  virtual void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels,
                                   const Tensor& probabilities, const Tensor& loss) = 0;
  // dlogits = (probabilities - onehot(labels)) * dloss[0] / n
  virtual void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                           const Tensor& dloss, Write write,
                                           const Tensor& dlogits) = 0;

  virtual void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
                      const Tensor& y) = 0;
  virtual void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                                   Write write, const Tensor& dx) = 0;
  virtual void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window,
                                    Write write, const Tensor& dfilter) = 0;

  // `argmax`, int32 and shaped like y, gets the place in x of each maximum, the first of equal
  // ones. Padding, narrower than the window, never wins; NaN always does, so that it is noticed.
  virtual void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                         const Tensor& argmax) = 0;
  virtual void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, Write write,
                                 const Tensor& dx) = 0;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_BACKEND_H_
