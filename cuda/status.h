#ifndef PARLEY_CUDA_STATUS_H_
#define PARLEY_CUDA_STATUS_H_

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace parley {

// What CUDA and cuBLAS answered as a Status: "what: the library's own words (its name of the
// error)". Exhausted memory is RESOURCE_EXHAUSTED, a device or driver that cannot be used
// UNAVAILABLE, everything else INTERNAL. `what` names the device and the operation.
absl::Status CudaStatus(cudaError_t error, absl::string_view what);
absl::Status CublasStatus(cublasStatus_t error, absl::string_view what);

}  // namespace parley

#endif  // PARLEY_CUDA_STATUS_H_
