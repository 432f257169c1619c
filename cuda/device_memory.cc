#include "cuda/device_memory.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cuda/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

class DeviceMemory : public RawAllocator {
 public:
  explicit DeviceMemory(int device) : device_(device) {}

  absl::StatusOr<void*> Allocate(size_t bytes) override {
    PARLEY_RETURN_IF_ERROR(
        CudaStatus(cudaSetDevice(device_), absl::StrCat("choosing cuda:", device_)));
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error != cudaSuccess) {
      // Exhausted memory is no lasting error, but the runtime would tell it to the next who asks.
      cudaGetLastError();
      return CudaStatus(error, absl::StrCat("allocating on cuda:", device_));
    }
    return memory;
  }

  void Free(void* memory, size_t) override {
    cudaError_t error = cudaSetDevice(device_);
    if (error == cudaSuccess) error = cudaFree(memory);
    // As a process ends the runtime may be gone before the memory is given back.
    if (error != cudaSuccess && error != cudaErrorCudartUnloading) {
      LOG(ERROR) << CudaStatus(error, absl::StrCat("freeing on cuda:", device_));
    }
  }

 private:
  const int device_;
};

}  // namespace

std::unique_ptr<RawAllocator> NewDeviceMemory(int device) {
  return std::make_unique<DeviceMemory>(device);
}

}  // namespace parley
