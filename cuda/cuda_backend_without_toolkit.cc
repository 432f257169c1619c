#include "absl/strings/str_cat.h"
#include "cuda/cuda_backend.h"

namespace parley {

absl::StatusOr<Backend*> CudaBackend(int device, const CudaBackendOptions&) {
  return absl::UnimplementedError(
      absl::StrCat("cuda:", device, ": Parley was built without a CUDA toolkit"));
}

}  // namespace parley
