#include "cuda/context.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cuda/device_memory.h"
#include "cuda/host_memory.h"
#include "cuda/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

// What cuda_library compiles for (third_party/cuda).
constexpr int kOldestMajor = 8;

CachingAllocator::Options AllocatorOptions(const std::string& name, size_t limit) {
  CachingAllocator::Options options;
  options.name = name;
  if (limit > 0) options.limit = limit;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Context>> Context::Create(int device, const Options& options) {
  int count = 0;
  PARLEY_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceCount(&count), "no CUDA device is usable"));
  if (device < 0 || device >= count) {
    return absl::UnavailableError(
        absl::StrCat("there is no CUDA device ", device, ": ", count, " can be used"));
  }
  const std::string name = absl::StrCat("cuda:", device);
  int major = 0;
  PARLEY_RETURN_IF_ERROR(
      CudaStatus(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), name));
  if (major < kOldestMajor) {
    return absl::UnavailableError(absl::StrCat(name, " has compute capability ", major,
                                               ".x; it must be ", kOldestMajor, ".0 or newer"));
  }
  std::unique_ptr<Context> context(new Context(device, name, options.memory_limit));
  const absl::Status status = context->Initialize(options);
  if (!status.ok()) return Annotate(status, name);
  return context;
}

Context::Context(int device, const std::string& name, size_t memory_limit)
    : device_(device),
      name_(name),
      memory_(NewDeviceMemory(device), AllocatorOptions(name, memory_limit)),
      host_memory_(NewPinnedMemory(), AllocatorOptions("pinned host memory", 0)) {}

absl::Status Context::Initialize(const Options& options) {
  PARLEY_RETURN_IF_ERROR(Activate());
  for (cudaStream_t* const stream : {&compute_, &upload_, &download_}) {
    PARLEY_RETURN_IF_ERROR(
        CudaStatus(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "creating a stream"));
  }
  PARLEY_ASSIGN_OR_RETURN(cublas_workspace_, memory_.Allocate(Cublas::kWorkspaceBytes));
  PARLEY_ASSIGN_OR_RETURN(cublas_,
                          Cublas::Open(compute_, cublas_workspace_.get(), options.allow_tf32));
  absl::StatusOr<std::unique_ptr<Cudnn>> cudnn = Cudnn::Open(compute_, options.allow_tf32);
  if (cudnn.ok()) {
    cudnn_ = *std::move(cudnn);
  } else {
    LOG(WARNING) << name_ << ": convolutions are matrix products, for cuDNN is missing: "
                 << cudnn.status().message();
  }
  return absl::OkStatus();
}

Context::~Context() {
  cudnn_.reset();
  cublas_.reset();
  for (cudaStream_t const stream : {compute_, upload_, download_}) {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
}

absl::Status Context::Activate() const {
  return CudaStatus(cudaSetDevice(device_), absl::StrCat("choosing ", name_));
}

}  // namespace parley
