#include "cuda/kernels/testing/host_backend.h"

#include <cstring>
#include <memory>
#include <vector>

#include "cuda/kernels/batch_norm.h"
#include "cuda/kernels/binary.h"
#include "cuda/kernels/cross_entropy.h"
#include "cuda/kernels/dropout.h"
#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/im2col.h"
#include "cuda/kernels/layer_norm.h"
#include "cuda/kernels/pool2d.h"
#include "cuda/kernels/reduce.h"
#include "cuda/kernels/rows.h"
#include "cuda/kernels/softmax.h"
#include "cuda/kernels/strided_copy.h"
#include "glog/logging.h"
#include "tensor/cpu_backend.h"

namespace parley {
namespace {

void Check(cudaError_t error) { CHECK_EQ(static_cast<int>(error), 0) << cudaGetErrorName(error); }

ImageShape ImageOf(const Tensor& x) {
  return {x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]};
}

// The same memory as a tensor of the CPU.
Tensor OnCpu(const Tensor& tensor) {
  return Tensor::Borrow(CpuBackend(), tensor.shape(), tensor.As<void>(), tensor.dtype());
}

int64_t ColumnsOf(const Tensor& x) { return x.shape().back(); }
int64_t RowsOf(const Tensor& x) {
  int64_t rows = 1;
  for (size_t axis = 0; axis + 1 < x.shape().rank(); ++axis) rows *= x.shape()[axis];
  return rows;
}

// A filter [height, width, in, out] as a matrix [height * width * in, out].
Tensor AsMatrix(const Tensor& filter) {
  const Shape& shape = filter.shape();
  return filter.Reshape({shape[0] * shape[1] * shape[2], shape[3]});
}

// Copies of the host's memory to itself are done when they have begun.
class DoneTransfer : public Transfer {
 public:
  bool done() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

class HostKernels : public Backend {
 public:
  const char* name() const override { return "cuda kernels on the host"; }
  std::shared_ptr<void> Allocate(size_t bytes) override { return CpuBackend()->Allocate(bytes); }
  std::shared_ptr<void> AllocateHost(size_t bytes) override { return Allocate(bytes); }
  void CopyFromHost(const void* host, const Tensor& to) override {
    if (to.bytes() > 0) std::memcpy(to.As<void>(), host, to.bytes());
  }
  absl::Status CopyToHost(const Tensor& from, void* host) override {
    if (from.bytes() > 0) std::memcpy(host, from.As<void>(), from.bytes());
    return absl::OkStatus();
  }
  std::unique_ptr<Transfer> StartCopyFromHost(const void* host, const Tensor& to) override {
    CopyFromHost(host, to);
    return std::make_unique<DoneTransfer>();
  }
  std::unique_ptr<Transfer> StartCopyToHost(const Tensor& from, void* host) override {
    CHECK(CopyToHost(from, host).ok());
    return std::make_unique<DoneTransfer>();
  }
  absl::Status Synchronize() override { return absl::OkStatus(); }

  void Fill(double value, const Tensor& out) override {
    Check(LaunchFill(value, out.As<void>(), out.num_elements(), out.dtype(), nullptr));
  }
  void Cast(const Tensor& x, Write write, const Tensor& out) override {
    Check(LaunchCast(x.As<void>(), x.dtype(), x.num_elements(), write, out.As<void>(), out.dtype(),
                     nullptr));
  }
  void Affine(double scale, const Tensor& x, double shift, Write write,
              const Tensor& out) override {
    Check(LaunchAffine(scale, x.As<void>(), shift, x.num_elements(), x.dtype(), write,
                       out.As<void>(), nullptr));
  }
  void Unary(UnaryOp op, const Tensor& x, const Tensor& y) override {
    Check(LaunchUnary(op, x.As<void>(), x.num_elements(), x.dtype(), y.As<void>(), nullptr));
  }
  void UnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Write write,
                     const Tensor& dx) override {
    Check(LaunchUnaryGradient(op, x.As<void>(), y.As<void>(), dy.As<void>(), dy.num_elements(),
                              dy.dtype(), write, dx.As<void>(), nullptr));
  }
  void Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
              const Tensor& out) override {
    Check(LaunchBinary(op, a.As<void>(), a.shape().ToVector(), b.As<void>(), b.shape().ToVector(),
                       out.dtype(), write, out.As<void>(), out.shape().ToVector(), nullptr));
  }
  void Reduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) override {
    const Extents from = x.shape().ToVector(), to = out.shape().ToVector();
    const auto scratch = Allocate(ReduceScratchBytes(from, to, x.dtype()));
    Check(LaunchReduce(reduction, x.As<void>(), from, x.dtype(), write, out.As<void>(), to,
                       scratch.get(), nullptr));
  }
  absl::StatusOr<bool> AllFinite(const Tensor& x) override {
    int32_t found = -1;
    Check(LaunchFindNotFinite(x.As<void>(), x.num_elements(), x.dtype(), &found, nullptr));
    return found == 0;
  }

  void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
              const Tensor& out) override {
    CpuBackend()->MatMul(OnCpu(a), transpose_a, OnCpu(b), transpose_b, write, OnCpu(out));
  }
  void BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                   bool transpose_b, Write write, const Tensor& out) override {
    CpuBackend()->BatchMatMul(scale, OnCpu(a), transpose_a, OnCpu(b), transpose_b, write,
                              OnCpu(out));
  }

  void Permute(const Tensor& x, absl::Span<const int> axes, Write write,
               const Tensor& out) override {
    Check(LaunchPermute(x.As<void>(), x.shape().ToVector(), {axes.begin(), axes.end()}, x.dtype(),
                        write, out.As<void>(), nullptr));
  }
  void ReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                 const Tensor& out) override {
    Check(LaunchReadSlice(x.As<void>(), x.shape().ToVector(), {begin.begin(), begin.end()},
                          x.dtype(), write, out.As<void>(), out.shape().ToVector(), nullptr));
  }
  void WriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                  const Tensor& out) override {
    Check(LaunchWriteSlice(x.As<void>(), x.shape().ToVector(), {begin.begin(), begin.end()},
                           x.dtype(), write, out.As<void>(), out.shape().ToVector(), nullptr));
  }
  void GatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) override {
    Check(LaunchGatherRows(table.As<void>(), table.shape()[0], table.shape()[1], table.dtype(),
                           indices.As<void>(), indices.dtype(), indices.num_elements(),
                           out.As<void>(), nullptr));
  }
  void ScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                      const Tensor& dtable) override {
    size_t bytes = 0;
    Check(ScatterAddRowsScratchBytes(indices.num_elements(), &bytes));
    const auto scratch = Allocate(bytes);
    Check(LaunchScatterAddRows(rows.As<void>(), indices.As<void>(), indices.dtype(),
                               indices.num_elements(), dtable.dtype(), write, dtable.As<void>(),
                               dtable.shape()[0], dtable.shape()[1], scratch.get(), bytes,
                               nullptr));
  }

  void Softmax(const Tensor& x, bool causal, const Tensor& y) override {
    Check(LaunchSoftmax(x.As<void>(), RowsOf(x), ColumnsOf(x),
                        causal ? x.shape()[x.shape().rank() - 2] : 0, x.dtype(), y.As<void>(),
                        nullptr));
  }
  void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) override {
    Check(LaunchSoftmaxGradient(y.As<void>(), dy.As<void>(), RowsOf(y), ColumnsOf(y), y.dtype(),
                                write, dx.As<void>(), nullptr));
  }
  void LogSoftmax(const Tensor& x, const Tensor& y) override {
    Check(
        LaunchLogSoftmax(x.As<void>(), RowsOf(x), ColumnsOf(x), x.dtype(), y.As<void>(), nullptr));
  }
  void LogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                          const Tensor& dx) override {
    Check(LaunchLogSoftmaxGradient(y.As<void>(), dy.As<void>(), RowsOf(y), ColumnsOf(y), y.dtype(),
                                   write, dx.As<void>(), nullptr));
  }
  void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                           const Tensor& loss) override {
    const auto scratch = Allocate(CrossEntropyScratchBytes(RowsOf(logits), logits.dtype()));
    Check(LaunchCrossEntropy(logits.As<void>(), labels.int_data(), RowsOf(logits),
                             ColumnsOf(logits), logits.dtype(), probabilities.As<void>(),
                             loss.As<void>(), scratch.get(), nullptr));
  }
  void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                   const Tensor& dloss, Write write,
                                   const Tensor& dlogits) override {
    Check(LaunchCrossEntropyGradient(probabilities.As<void>(), labels.int_data(), dloss.As<void>(),
                                     RowsOf(probabilities), ColumnsOf(probabilities),
                                     probabilities.dtype(), write, dlogits.As<void>(), nullptr));
  }

  void LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& rstd) override {
    Check(LaunchLayerNorm(x.As<void>(), gamma.As<void>(), beta.As<void>(), epsilon, RowsOf(x),
                          ColumnsOf(x), x.dtype(), y.As<void>(), mean.As<void>(), rstd.As<void>(),
                          nullptr));
  }
  void LayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, Write write,
                         const Tensor& dx) override {
    Check(LaunchLayerNormGradient(x.As<void>(), gamma.As<void>(), mean.As<void>(), rstd.As<void>(),
                                  dy.As<void>(), RowsOf(x), ColumnsOf(x), x.dtype(), write,
                                  dx.As<void>(), nullptr));
  }
  void LayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                  const Tensor& dy, const Tensor& dgamma,
                                  const Tensor& dbeta) override {
    const auto scratch =
        Allocate(LayerNormParameterGradientScratchBytes(RowsOf(x), ColumnsOf(x), x.dtype()));
    Check(LaunchLayerNormParameterGradient(
        x.As<void>(), mean.As<void>(), rstd.As<void>(), dy.As<void>(), RowsOf(x), ColumnsOf(x),
        x.dtype(), dgamma.As<void>(), dbeta.As<void>(), scratch.get(), nullptr));
  }
  void BatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& variance) override {
    const auto scratch = Allocate(BatchNormScratchBytes(RowsOf(x), ColumnsOf(x), x.dtype()));
    Check(LaunchBatchNorm(x.As<void>(), gamma.As<void>(), beta.As<void>(), epsilon, RowsOf(x),
                          ColumnsOf(x), x.dtype(), y.As<void>(), mean.As<void>(),
                          variance.As<void>(), scratch.get(), nullptr));
  }
  void BatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                          const Tensor& mean, const Tensor& variance, double epsilon,
                          const Tensor& y) override {
    Check(LaunchBatchNormInference(x.As<void>(), gamma.As<void>(), beta.As<void>(), mean.As<void>(),
                                   variance.As<void>(), epsilon, RowsOf(x), ColumnsOf(x), x.dtype(),
                                   y.As<void>(), nullptr));
  }
  void BatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& variance, double epsilon, const Tensor& dy, Write write,
                         const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) override {
    const auto scratch = Allocate(BatchNormScratchBytes(RowsOf(x), ColumnsOf(x), x.dtype()));
    Check(LaunchBatchNormGradient(x.As<void>(), gamma.As<void>(), mean.As<void>(),
                                  variance.As<void>(), epsilon, dy.As<void>(), RowsOf(x),
                                  ColumnsOf(x), x.dtype(), write, dx.As<void>(), dgamma.As<void>(),
                                  dbeta.As<void>(), scratch.get(), nullptr));
  }

  void Dropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
               const Tensor& y) override {
    Check(LaunchDropout(x.As<void>(), rate, seed, stream, x.num_elements(), x.dtype(), write,
                        y.As<void>(), nullptr));
  }

  void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
              const Tensor& y) override {
    const Tensor matrix = AsMatrix(filter);
    MatMul(Patches(x, window, matrix.shape()[0]), false, matrix, false, Write::kReplace, y);
  }
  void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                           Write write, const Tensor& dx) override {
    const DType work = dx.dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
    const Tensor matrix = AsMatrix(filter);
    const Tensor wide_dy(this, dy.shape(), work), wide_matrix(this, matrix.shape(), work);
    Cast(dy, Write::kReplace, wide_dy);
    Cast(matrix, Write::kReplace, wide_matrix);
    const Tensor patches(this, {RowsOf(dy), matrix.shape()[0]}, work);
    MatMul(wide_dy, false, wide_matrix, true, Write::kReplace, patches);
    Check(LaunchCol2im(patches.As<void>(), ImageOf(dx), window, dx.dtype(), write, dx.As<void>(),
                       nullptr));
  }
  void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                            const Tensor& dfilter) override {
    const Tensor matrix = AsMatrix(dfilter);
    MatMul(Patches(x, window, matrix.shape()[0]), true, dy, false, write, matrix);
  }

  void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                 const Tensor& argmax) override {
    Check(LaunchMaxPool2d(x.As<void>(), ImageOf(x), window, x.dtype(), y.As<void>(),
                          argmax.int_data(), nullptr));
  }
  void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                         const Tensor& dx) override {
    Check(LaunchMaxPool2dGradient(dy.As<void>(), argmax.int_data(), ImageOf(dx), window, dx.dtype(),
                                  write, dx.As<void>(), nullptr));
  }
  void AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) override {
    Check(LaunchAvgPool2d(x.As<void>(), ImageOf(x), window, x.dtype(), y.As<void>(), nullptr));
  }
  void AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                         const Tensor& dx) override {
    Check(LaunchAvgPool2dGradient(dy.As<void>(), ImageOf(dx), window, dx.dtype(), write,
                                  dx.As<void>(), nullptr));
  }

 private:
  // [output pixels, size]
  Tensor Patches(const Tensor& x, const Window& window, int64_t size) {
    const ImageShape image = ImageOf(x);
    const Tensor patches(this, {image.output_pixels(window), size}, x.dtype());
    Check(LaunchIm2col(x.As<void>(), image, window, x.dtype(), patches.As<void>(), nullptr));
    return patches;
  }
};

}  // namespace

Backend* HostKernelsBackend() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return nullptr;
#else
  static HostKernels* const backend = new HostKernels;
  return backend;
#endif
}

}  // namespace parley
