#include "tensor/cpu_backend.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "tensor/cpu_batch_norm.h"
#include "tensor/cpu_binary.h"
#include "tensor/cpu_cast.h"
#include "tensor/cpu_conv2d.h"
#include "tensor/cpu_dropout.h"
#include "tensor/cpu_elementwise.h"
#include "tensor/cpu_layer_norm.h"
#include "tensor/cpu_layout.h"
#include "tensor/cpu_matmul.h"
#include "tensor/cpu_pool2d.h"
#include "tensor/cpu_reduce.h"
#include "tensor/cpu_rows.h"
#include "tensor/cpu_softmax.h"

namespace parley {
namespace {

// Memory that was let go, by size: a training step asks for the same sizes again and again, and
// fresh pages are slow.
class Pool {
 public:
  AlignedBytes Take(size_t bytes) {
    {
      MutexLock lock(&mutex_);
      std::vector<AlignedBytes>& list = free_[bytes];
      if (!list.empty()) {
        AlignedBytes result = std::move(list.back());
        list.pop_back();
        held_ -= bytes;
        return result;
      }
    }
    return NewAlignedBytes(bytes);
  }

  void Return(AlignedBytes memory, size_t bytes) {
    MutexLock lock(&mutex_);
    if (held_ + bytes > kLimit) return;
    free_[bytes].push_back(std::move(memory));
    held_ += bytes;
  }

 private:
  static constexpr size_t kLimit = size_t{512} << 20;

  Mutex mutex_;
  absl::flat_hash_map<size_t, std::vector<AlignedBytes>> free_ ABSL_GUARDED_BY(mutex_);
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0;
};

class DoneTransfer final : public Transfer {
 public:
  bool done() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

class Cpu final : public Backend {
 public:
  const char* name() const override { return "cpu"; }

  std::shared_ptr<void> Allocate(size_t bytes) override {
    void* const memory = pool_.Take(bytes).release();
    return {memory, [this, bytes](void* pointer) {
              pool_.Return(AlignedBytes(static_cast<std::byte*>(pointer)), bytes);
            }};
  }
  void CopyFromHost(const void* host, const Tensor& to) override {
    if (to.bytes() > 0) std::memcpy(to.data(), host, to.bytes());
  }
  std::shared_ptr<void> AllocateHost(size_t bytes) override { return Allocate(bytes); }
  absl::Status CopyToHost(const Tensor& from, void* host) override {
    if (from.bytes() > 0) std::memcpy(host, from.data(), from.bytes());
    return absl::OkStatus();
  }
  std::unique_ptr<Transfer> StartCopyFromHost(const void* host, const Tensor& to) override {
    CopyFromHost(host, to);
    return std::make_unique<DoneTransfer>();
  }
  std::unique_ptr<Transfer> StartCopyToHost(const Tensor& from, void* host) override {
    CopyToHost(from, host).IgnoreError();
    return std::make_unique<DoneTransfer>();
  }
  absl::Status Synchronize() override { return absl::OkStatus(); }

  void Fill(double value, const Tensor& out) override { CpuFill(value, out); }
  void Cast(const Tensor& x, Write write, const Tensor& out) override { CpuCast(x, write, out); }
  void Affine(double scale, const Tensor& x, double shift, Write write,
              const Tensor& out) override {
    CpuAffine(scale, x, shift, write, out);
  }
  void Unary(UnaryOp op, const Tensor& x, const Tensor& y) override { CpuUnary(op, x, y); }
  void UnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Write write,
                     const Tensor& dx) override {
    CpuUnaryGradient(op, x, y, dy, write, dx);
  }
  void Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
              const Tensor& out) override {
    CpuBinary(op, a, b, write, out);
  }
  void Reduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) override {
    CpuReduce(reduction, x, write, out);
  }
  absl::StatusOr<bool> AllFinite(const Tensor& x) override { return CpuAllFinite(x); }

  void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
              const Tensor& out) override {
    CpuMatMul(a, transpose_a, b, transpose_b, write, out);
  }
  void BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                   bool transpose_b, Write write, const Tensor& out) override {
    CpuBatchMatMul(scale, a, transpose_a, b, transpose_b, write, out);
  }

  void Permute(const Tensor& x, absl::Span<const int> axes, Write write,
               const Tensor& out) override {
    CpuPermute(x, axes, write, out);
  }
  void ReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                 const Tensor& out) override {
    CpuReadSlice(x, begin, write, out);
  }
  void WriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                  const Tensor& out) override {
    CpuWriteSlice(x, begin, write, out);
  }
  void GatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) override {
    CpuGatherRows(table, indices, out);
  }
  void ScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                      const Tensor& dtable) override {
    CpuScatterAddRows(rows, indices, write, dtable);
  }

  void Softmax(const Tensor& x, bool causal, const Tensor& y) override { CpuSoftmax(x, causal, y); }
  void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) override {
    CpuSoftmaxGradient(y, dy, write, dx);
  }
  void LogSoftmax(const Tensor& x, const Tensor& y) override { CpuLogSoftmax(x, y); }
  void LogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                          const Tensor& dx) override {
    CpuLogSoftmaxGradient(y, dy, write, dx);
  }
  void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                           const Tensor& loss) override {
    CpuSoftmaxCrossEntropy(logits, labels, probabilities, loss);
  }
  void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                   const Tensor& dloss, Write write,
                                   const Tensor& dlogits) override {
    CpuSoftmaxCrossEntropyGradient(probabilities, labels, dloss, write, dlogits);
  }

  void LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& rstd) override {
    CpuLayerNorm(x, gamma, beta, epsilon, y, mean, rstd);
  }
  void LayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, Write write,
                         const Tensor& dx) override {
    CpuLayerNormGradient(x, gamma, mean, rstd, dy, write, dx);
  }
  void LayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                  const Tensor& dy, const Tensor& dgamma,
                                  const Tensor& dbeta) override {
    CpuLayerNormParameterGradient(x, mean, rstd, dy, dgamma, dbeta);
  }
  void BatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& variance) override {
    CpuBatchNorm(x, gamma, beta, epsilon, y, mean, variance);
  }
  void BatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                          const Tensor& mean, const Tensor& variance, double epsilon,
                          const Tensor& y) override {
    CpuBatchNormInference(x, gamma, beta, mean, variance, epsilon, y);
  }
  void BatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& variance, double epsilon, const Tensor& dy, Write write,
                         const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) override {
    CpuBatchNormGradient(x, gamma, mean, variance, epsilon, dy, write, dx, dgamma, dbeta);
  }
  void Dropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
               const Tensor& y) override {
    CpuDropout(x, rate, seed, stream, write, y);
  }

  void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
              const Tensor& y) override {
    CpuConv2d(x, filter, window, y);
  }
  void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                           Write write, const Tensor& dx) override {
    CpuConv2dInputGradient(dy, filter, window, write, dx);
  }
  void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                            const Tensor& dfilter) override {
    CpuConv2dFilterGradient(x, dy, window, write, dfilter);
  }
  void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                 const Tensor& argmax) override {
    CpuMaxPool2d(x, window, y, argmax);
  }
  void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                         const Tensor& dx) override {
    CpuMaxPool2dGradient(dy, argmax, window, write, dx);
  }
  void AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) override {
    CpuAvgPool2d(x, window, y);
  }
  void AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                         const Tensor& dx) override {
    CpuAvgPool2dGradient(dy, window, write, dx);
  }

 private:
  Pool pool_;
};

}  // namespace

Backend* CpuBackend() {
  static Cpu* const cpu = new Cpu();
  return cpu;
}

}  // namespace parley
