#ifndef PARLEY_CUDA_COLLECTIVE_H_
#define PARLEY_CUDA_COLLECTIVE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tensor/backend.h"

namespace parley {

// Several GPUs of one process that compute together. Thread safety: one thread.
class Collective {
 public:
  virtual ~Collective() = default;

  // Each of the tensors, of one floating dtype and one size, tensor i on backend i, becomes the
  // mean of all. Takes effect in the order of the calls to each backend, which is not waited for;
  // an error of the devices' is told by the backends. INVALID_ARGUMENT when the tensors do not fit.
  virtual absl::Status AllReduceMean(absl::Span<const Tensor> tensors) = 0;
};

// By NCCL, among the devices of `backends`, different ones of CudaBackend (cuda_backend.h).
// UNIMPLEMENTED when Parley was built without NCCL, UNAVAILABLE where the library is missing or
// there are fewer than two devices.
absl::StatusOr<std::unique_ptr<Collective>> NewCollective(absl::Span<Backend* const> backends);

}  // namespace parley

#endif  // PARLEY_CUDA_COLLECTIVE_H_
