#include "cuda/host_memory.h"

#include <cuda_runtime_api.h>

#include <cstdlib>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "cuda/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

// As pages are; pinned memory is aligned so as well.
constexpr size_t kAlignment = 4096;

class PinnedMemory : public RawAllocator {
 public:
  absl::StatusOr<void*> Allocate(size_t bytes) override {
    void* memory = nullptr;
    const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable);
    if (error == cudaSuccess) return memory;
    cudaGetLastError();
    MutexLock lock(&mutex_);
    if (!warned_) {
      LOG(WARNING) << CudaStatus(error, "pinning host memory") << "; ordinary memory is used";
      warned_ = true;
    }
    if (bytes <= SIZE_MAX - kAlignment) {
      memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    }
    if (memory == nullptr) return absl::ResourceExhaustedError("the host has no more");
    ordinary_.insert(memory);
    return memory;
  }

  void Free(void* memory, size_t) override {
    {
      MutexLock lock(&mutex_);
      if (ordinary_.erase(memory) > 0) {
        std::free(memory);
        return;
      }
    }
    const cudaError_t error = cudaFreeHost(memory);
    // As a process ends the runtime may be gone before the memory is given back.
    if (error != cudaSuccess && error != cudaErrorCudartUnloading) {
      LOG(ERROR) << CudaStatus(error, "freeing pinned host memory");
    }
  }

 private:
  Mutex mutex_;
  bool warned_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<void*> ordinary_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<RawAllocator> NewPinnedMemory() { return std::make_unique<PinnedMemory>(); }

}  // namespace parley
