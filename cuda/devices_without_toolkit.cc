#include "cuda/devices.h"

namespace parley {

absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices() {
  return absl::UnimplementedError("built without a CUDA toolkit");
}

}  // namespace parley
