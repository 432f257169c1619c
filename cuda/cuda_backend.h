#ifndef PARLEY_CUDA_CUDA_BACKEND_H_
#define PARLEY_CUDA_CUDA_BACKEND_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "tensor/backend.h"

namespace parley {

struct CudaBackendOptions {
  // Lets products and convolutions of float32 round their inputs to 10 bits (TF32): several times
  // as fast, and as exact as float16 but for its range.
  bool allow_tf32 = false;
  // Most bytes that tensors take on the device; 0: what the device has. Beyond it the backend fails
  // with RESOURCE_EXHAUSTED.
  size_t memory_limit = 0;
};

// CUDA device number `device` as a Backend, "cuda:<device>": its operations run in the order of the
// calls in a stream of the device's, transfers (StartCopyToHost, StartCopyFromHost) in streams of
// their own, beside those computations that do not use their tensors. A failed kernel is told as
// Backend says; an index or label out of bounds is such a failure, of the whole process' device.
//
// UNIMPLEMENTED when Parley was built without a CUDA toolkit; UNAVAILABLE, with the reason, when
// there is no such device, no driver or no cuBLAS; FAILED_PRECONDITION when the device is already
// in use with other options. Never deleted. Safe from any thread.
absl::StatusOr<Backend*> CudaBackend(int device, const CudaBackendOptions& options = {});

}  // namespace parley

#endif  // PARLEY_CUDA_CUDA_BACKEND_H_
