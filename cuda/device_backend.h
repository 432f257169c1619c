#ifndef PARLEY_CUDA_DEVICE_BACKEND_H_
#define PARLEY_CUDA_DEVICE_BACKEND_H_

#include <cuda_runtime_api.h>

#include <initializer_list>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "cuda/context.h"
#include "cuda/device_event.h"
#include "cuda/pending_copies.h"
#include "tensor/backend.h"

namespace parley {

// The Backend of one CUDA device (cuda_backend.h): what its operations have in common is in
// device_backend.cc, the operations in files by kind (device_*.cc).
//
// Computations are enqueued in the context's compute stream under one lock, so the order of calls
// is the order of execution, and memory that a tensor leaves may be the next one's at once.
// Transfers run in the two other streams: one begins when the compute stream has passed what was
// enqueued before it, and a computation that uses its tensor waits for it (PendingCopies).
class DeviceBackend : public Backend {
 public:
  explicit DeviceBackend(std::unique_ptr<Context> context) : context_(std::move(context)) {}

  const char* name() const override { return context_->name().c_str(); }
  int device() const { return context_->device(); }

  std::shared_ptr<void> Allocate(size_t bytes) override;
  std::shared_ptr<void> AllocateHost(size_t bytes) override;
  void CopyFromHost(const void* host, const Tensor& to) override;
  absl::Status CopyToHost(const Tensor& from, void* host) override;
  std::unique_ptr<Transfer> StartCopyFromHost(const void* host, const Tensor& to) override;
  std::unique_ptr<Transfer> StartCopyToHost(const Tensor& from, void* host) override;
  absl::Status Synchronize() override;

  void Fill(double value, const Tensor& out) override;
  void Cast(const Tensor& x, Write write, const Tensor& out) override;
  void Affine(double scale, const Tensor& x, double shift, Write write, const Tensor& out) override;
  void Unary(UnaryOp op, const Tensor& x, const Tensor& y) override;
  void UnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Write write,
                     const Tensor& dx) override;
  void Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
              const Tensor& out) override;
  void Reduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) override;
  absl::StatusOr<bool> AllFinite(const Tensor& x) override;

  void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
              const Tensor& out) override;
  void BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                   bool transpose_b, Write write, const Tensor& out) override;

  void Permute(const Tensor& x, absl::Span<const int> axes, Write write,
               const Tensor& out) override;
  void ReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                 const Tensor& out) override;
  void WriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                  const Tensor& out) override;
  void GatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) override;
  void ScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                      const Tensor& dtable) override;

  void Softmax(const Tensor& x, bool causal, const Tensor& y) override;
  void SoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) override;
  void LogSoftmax(const Tensor& x, const Tensor& y) override;
  void LogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write,
                          const Tensor& dx) override;
  void SoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                           const Tensor& loss) override;
  void SoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                   const Tensor& dloss, Write write,
                                   const Tensor& dlogits) override;

  void LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& rstd) override;
  void LayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, const Tensor& dy, Write write,
                         const Tensor& dx) override;
  void LayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                  const Tensor& dy, const Tensor& dgamma,
                                  const Tensor& dbeta) override;
  void BatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                 const Tensor& y, const Tensor& mean, const Tensor& variance) override;
  void BatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                          const Tensor& mean, const Tensor& variance, double epsilon,
                          const Tensor& y) override;
  void BatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                         const Tensor& variance, double epsilon, const Tensor& dy, Write write,
                         const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) override;

  void Dropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
               const Tensor& y) override;

  void Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
              const Tensor& y) override;
  void Conv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                           Write write, const Tensor& dx) override;
  void Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                            const Tensor& dfilter) override;

  void MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                 const Tensor& argmax) override;
  void MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                         const Tensor& dx) override;
  void AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) override;
  void AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                         const Tensor& dx) override;

  // For what computes on this device without being an operation of Backend (collective.h), and for
  // the operations themselves: with the device current and the lock held, orders the compute stream
  // behind the pending transfers of the tensors, calls `work`, which enqueues there, and lets the
  // backend fail where it does; does nothing once the backend has failed. Tensors that are not
  // defined are left out. `operation` is a word for the error.
  using Tensors = std::initializer_list<const Tensor*>;
  void Enqueue(const char* operation, Tensors reads, Tensors writes,
               absl::FunctionRef<absl::Status(Context&)> work);

  // The first error, for good.
  absl::Status error() const;
  // Makes it the backend's error unless it has one; returns the one it has then.
  absl::Status Fail(const absl::Status& status);

 private:
  // Waits for `event`, of a failed operation when null, without the lock.
  absl::Status Wait(const std::shared_ptr<DeviceEvent>& event, const char* operation);
  // Enqueue for work that also runs beside the computations, or has to keep memory.
  void EnqueueCopy(const char* operation, Tensors reads, Tensors writes,
                   absl::FunctionRef<absl::Status(Context&, PendingCopies<DeviceEvent>&)> work);
  // Makes the compute stream wait for the transfers that the tensors have.
  absl::Status Prepare(Tensors reads, Tensors writes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::unique_ptr<Context> context_;

  mutable Mutex mutex_;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  PendingCopies<DeviceEvent> pending_ ABSL_GUARDED_BY(mutex_);
};

// What a kernel's launch returned, as Enqueue's work returns it.
absl::Status Launched(cudaError_t error);

}  // namespace parley

#endif  // PARLEY_CUDA_DEVICE_BACKEND_H_
