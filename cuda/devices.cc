#include "cuda/devices.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

absl::Status ToStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
}

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices() {
  int count = 0;
  const absl::Status counted = ToStatus(cudaGetDeviceCount(&count), "no CUDA device is usable");
  if (!counted.ok()) return counted;
  if (count == 0) return absl::UnavailableError("no CUDA device is usable: there is none");
  std::vector<CudaDevice> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    const absl::Status status =
        ToStatus(cudaGetDeviceProperties(&properties, i), absl::StrCat("CUDA device ", i));
    if (!status.ok()) return status;
    devices.push_back({properties.name, static_cast<int64_t>(properties.totalGlobalMem)});
  }
  return devices;
}

}  // namespace parley
