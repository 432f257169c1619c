#ifndef PARLEY_CUDA_CONTEXT_H_
#define PARLEY_CUDA_CONTEXT_H_

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cuda/allocator.h"
#include "cuda/cublas.h"
#include "cuda/cudnn.h"

namespace parley {

// What a process needs of one device: three streams (computations, copies up and copies down, none
// waiting for another by itself), memory, cuBLAS, and cuDNN where it is found.
//
// Thread safety: the allocators are safe from any thread; cublas() and cudnn() are for one thread
// at a time, with the device current there (Activate).
class Context {
 public:
  struct Options {
    bool allow_tf32 = false;
    size_t memory_limit = 0;  // bytes; 0: the device's memory
  };

  // UNAVAILABLE, with the reason, when there is no such device, it is older than what the kernels
  // are compiled for, or cuBLAS is missing.
  static absl::StatusOr<std::unique_ptr<Context>> Create(int device, const Options& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const std::string& name() const { return name_; }  // "cuda:0"
  int device() const { return device_; }

  // Makes this device the calling thread's.
  absl::Status Activate() const;

  cudaStream_t compute() const { return compute_; }
  cudaStream_t upload() const { return upload_; }
  cudaStream_t download() const { return download_; }

  // Of the device, for work in the compute stream.
  CachingAllocator& memory() { return memory_; }
  // Pinned.
  CachingAllocator& host_memory() { return host_memory_; }

  Cublas& cublas() { return *cublas_; }
  // nullptr where the library is missing.
  Cudnn* cudnn() { return cudnn_.get(); }

 private:
  Context(int device, const std::string& name, size_t memory_limit);

  absl::Status Initialize(const Options& options);

  // Constant after Create; in the order in which they need each other.
  const int device_;
  const std::string name_;
  CachingAllocator memory_;
  CachingAllocator host_memory_;
  cudaStream_t compute_ = nullptr;
  cudaStream_t upload_ = nullptr;
  cudaStream_t download_ = nullptr;
  std::shared_ptr<void> cublas_workspace_;
  std::unique_ptr<Cublas> cublas_;
  std::unique_ptr<Cudnn> cudnn_;
};

}  // namespace parley

#endif  // PARLEY_CUDA_CONTEXT_H_
