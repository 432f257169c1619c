#include "worker/testing/far_backend.h"

#include <cstring>
#include <vector>

#include "tensor/cpu_backend.h"

namespace parley {
namespace {

// Its bytes are on the way.
class SlowTransfer final : public Transfer {
 public:
  SlowTransfer(const Tensor& from, void* host)
      : bytes_(from.As<char>(), from.As<char>() + from.bytes()), host_(host) {}

  bool done() const override {
    if (asked_) Arrive();
    asked_ = true;
    return arrived_;
  }
  absl::Status Wait() override {
    Arrive();
    return absl::OkStatus();
  }

 private:
  void Arrive() const {
    if (!arrived_ && !bytes_.empty()) std::memcpy(host_, bytes_.data(), bytes_.size());
    arrived_ = true;
  }

  const std::vector<char> bytes_;
  void* const host_;
  mutable bool asked_ = false;
  mutable bool arrived_ = false;
};

class FarBackend final : public Backend {
 public:
  const char* name() const override { return "far"; }
  std::shared_ptr<void> Allocate(size_t bytes) override { return cpu_->Allocate(bytes); }
  std::shared_ptr<void> AllocateHost(size_t bytes) override { return cpu_->AllocateHost(bytes); }
  void CopyFromHost(const void* host, const Tensor& to) override { cpu_->CopyFromHost(host, to); }
  absl::Status CopyToHost(const Tensor& from, void* host) override {
    return cpu_->CopyToHost(from, host);
  }
  std::unique_ptr<Transfer> StartCopyFromHost(const void* host, const Tensor& to) override {
    return cpu_->StartCopyFromHost(host, to);
  }
  std::unique_ptr<Transfer> StartCopyToHost(const Tensor& from, void* host) override {
    return std::make_unique<SlowTransfer>(from, host);
  }
  absl::Status Synchronize() override { return cpu_->Synchronize(); }

  void Fill(double value, const Tensor& out) override { cpu_->Fill(value, out); }
  void Cast(const Tensor& x, Write write, const Tensor& out) override { cpu_->Cast(x, write, out); }
  void Affine(double scale, const Tensor& x, double shift, Write write,
              const Tensor& out) override {
    cpu_->Affine(scale, x, shift, write, out);
  }
  void Unary(UnaryOp op, const Tensor& x, const Tensor& y) override { cpu_->Unary(op, x, y); }
  void UnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Write write,
                     const Tensor& dx) override {
    cpu_->UnaryGradient(op, x, y, dy, write, dx);
  }
  void Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
              const Tensor& out) override {
    cpu_->Binary(op, a, b, write, out);
  }
  void Reduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) override {
    cpu_->Reduce(reduction, x, write, out);
  }
  absl::StatusOr<bool> AllFinite(const Tensor& x) override { return cpu_->AllFinite(x); }
  void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
              const Tensor& out) override {
    cpu_->MatMul(a, transpose_a, b, transpose_b, write, out);
  }
  void BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                   bool transpose_b, Write write, const Tensor& out) override {
    cpu_->BatchMatMul(scale, a, transpose_a, b, transpose_b, write, out);
  }
  void Permute(const Tensor& x, absl::Span<const int> axes, Write write,
               const Tensor& out) override {
    cpu_->Permute(x, axes, write, out);
  }
  void ReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                 const Tensor& out) override {
    cpu_->ReadSlice(x, begin, write, out);
  }
  void WriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                  const Tensor& out) override {
    cpu_->WriteSlice(x, begin, write, out);
  }
  void GatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) override {
    cpu_->GatherRows(table, indices, out);
  }
  void ScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                      const Tensor& dtable) override {
    cpu_->ScatterAddRows(rows, indices, write, dtable);
  }
  void Softmax(const Tensor& x, bool causal, const Tensor& y) override {
    cpu_->Softmax(x, causal, y);
  }
  void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) override {
    cpu_->SoftmaxGradient(y, dy, write, dx);
  }
  void LogSoftmax(const Tensor& x, const Tensor& y) override { cpu_->LogSoftmax(x, y); }
  void LogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                          const Tensor& dx) override {
    cpu_->LogSoftmaxGradient(y, dy, write, dx);
  }
  void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                           const Tensor& loss) override {
    cpu_->SoftmaxCrossEntropy(logits, labels, probabilities, loss);
  }
  void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                   const Tensor& dloss, Write write,
                                   const Tensor& dlogits) override {
    cpu_->SoftmaxCrossEntropyGradient(probabilities, labels, dloss, write, dlogits);
  }
  void LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& rstd) override {
    cpu_->LayerNorm(x, gamma, beta, epsilon, y, mean, rstd);
  }
  void LayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, Write write,
                         const Tensor& dx) override {
    cpu_->LayerNormGradient(x, gamma, mean, rstd, dy, write, dx);
  }
  void LayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                  const Tensor& dy, const Tensor& dgamma,
                                  const Tensor& dbeta) override {
    cpu_->LayerNormParameterGradient(x, mean, rstd, dy, dgamma, dbeta);
  }
  void BatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& variance) override {
    cpu_->BatchNorm(x, gamma, beta, epsilon, y, mean, variance);
  }
  void BatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                          const Tensor& mean, const Tensor& variance, double epsilon,
                          const Tensor& y) override {
    cpu_->BatchNormInference(x, gamma, beta, mean, variance, epsilon, y);
  }
  void BatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& variance, double epsilon, const Tensor& dy, Write write,
                         const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) override {
    cpu_->BatchNormGradient(x, gamma, mean, variance, epsilon, dy, write, dx, dgamma, dbeta);
  }
  void Dropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
               const Tensor& y) override {
    cpu_->Dropout(x, rate, seed, stream, write, y);
  }
  void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
              const Tensor& y) override {
    cpu_->Conv2d(x, filter, window, y);
  }
  void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                           Write write, const Tensor& dx) override {
    cpu_->Conv2dInputGradient(dy, filter, window, write, dx);
  }
  void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                            const Tensor& dfilter) override {
    cpu_->Conv2dFilterGradient(x, dy, window, write, dfilter);
  }
  void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                 const Tensor& argmax) override {
    cpu_->MaxPool2d(x, window, y, argmax);
  }
  void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                         const Tensor& dx) override {
    cpu_->MaxPool2dGradient(dy, argmax, window, write, dx);
  }
  void AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) override {
    cpu_->AvgPool2d(x, window, y);
  }
  void AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                         const Tensor& dx) override {
    cpu_->AvgPool2dGradient(dy, window, write, dx);
  }

 private:
  Backend* const cpu_ = CpuBackend();
};

}  // namespace

std::unique_ptr<Backend> NewFarBackend() { return std::make_unique<FarBackend>(); }

}  // namespace parley
