#ifndef PARLEY_CUDA_KERNELS_BINARY_H_
#define PARLEY_CUDA_KERNELS_BINARY_H_

#include <cuda_runtime_api.h>

#include "cuda/kernels/extents.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// out = a op b with NumPy's broadcasting (elementwise.h says what holds for all kernels).
// cudaErrorInvalidValue also where the shapes do not broadcast to out's, or alternate between
// repeated and not repeated dimensions more than kMaxDims times (strides.h).
cudaError_t LaunchBinary(BinaryOp op, const void* a, const Extents& a_extents, const void* b,
                         const Extents& b_extents, DType dtype, Write write, void* out,
                         const Extents& out_extents, cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_BINARY_H_
