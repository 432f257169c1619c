#ifndef PARLEY_CUDA_DEVICES_H_
#define PARLEY_CUDA_DEVICES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parley {

struct CudaDevice {
  std::string name;
  int64_t memory = 0;  // bytes
};

// The GPUs that this process may use, by index; at least one. UNIMPLEMENTED when Parley was built
// without a CUDA toolkit; UNAVAILABLE, with the runtime's reason, when no device is usable. Safe
// from any thread.
absl::StatusOr<std::vector<CudaDevice>> ListCudaDevices();

}  // namespace parley

#endif  // PARLEY_CUDA_DEVICES_H_
