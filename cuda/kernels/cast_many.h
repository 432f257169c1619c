#ifndef PARLEY_CUDA_KERNELS_CAST_MANY_H_
#define PARLEY_CUDA_KERNELS_CAST_MANY_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "tensor/dtype.h"

namespace parley {

// One of the arrays of LaunchCastMany. `from` and `to` do not overlap.
struct CastItem {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t count = 0;
};

// to = from converted, for many arrays in few launches: gradients on their way to a 16-bit wire,
// and parameters on their way back. One of the dtypes is kFloat32, the other kBFloat16, kFloat16 or
// kFloat32. `items` is not used after the return (elementwise.h says what holds for all kernels).
cudaError_t LaunchCastMany(const std::vector<CastItem>& items, DType from, DType to,
                           cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_CAST_MANY_H_
