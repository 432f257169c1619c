#ifndef PARLEY_CUDA_KERNELS_STRIDED_COPY_H_
#define PARLEY_CUDA_KERNELS_STRIDED_COPY_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "cuda/kernels/extents.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Copies that permute dimensions or take parts (elementwise.h says what holds for all kernels). Of
// any dtype when they replace, of the floating ones when they add. cudaErrorInvalidValue also for
// more than kMaxDims dimensions that cannot be joined (strides.h).

// out's dimension i is x's dimension axes[i]. A filter [height, width, in, out] becomes cuDNN's
// [out, height, width, in] by {3, 0, 1, 2}, and comes back by {1, 2, 3, 0}.
cudaError_t LaunchPermute(const void* x, const Extents& x_extents, const std::vector<int>& axes,
                          DType dtype, Write write, void* out, cudaStream_t stream);

// out, dense of `out_extents`, = the part of x that begins at `begin`.
cudaError_t LaunchReadSlice(const void* x, const Extents& x_extents, const Extents& begin,
                            DType dtype, Write write, void* out, const Extents& out_extents,
                            cudaStream_t stream);

// The part of out that begins at `begin` = x, dense of `x_extents`.
cudaError_t LaunchWriteSlice(const void* x, const Extents& x_extents, const Extents& begin,
                             DType dtype, Write write, void* out, const Extents& out_extents,
                             cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_STRIDED_COPY_H_
