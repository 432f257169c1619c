#ifndef PARLEY_CUDA_KERNELS_REDUCE_H_
#define PARLEY_CUDA_KERNELS_REDUCE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/extents.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Reductions (elementwise.h says what holds for all kernels). Sums are made of parts whose bounds
// follow from the shapes alone, added in a fixed order: no atomics. A maximum with a NaN is NaN.

// Bytes of scratch for the reduction from `x_extents` to `out_extents`; may be 0.
size_t ReduceScratchBytes(const Extents& x_extents, const Extents& out_extents, DType dtype);

// out = x reduced over the dimensions where out, aligned at the last one, has size 1 or none.
// cudaErrorInvalidValue also where the shapes do not fit, or kept and reduced dimensions alternate
// more than kMaxDims times (strides.h).
cudaError_t LaunchReduce(Reduction reduction, const void* x, const Extents& x_extents, DType dtype,
                         Write write, void* out, const Extents& out_extents, void* scratch,
                         cudaStream_t stream);

// *found = 1 if any element is infinite or not a number, else 0; `found` is on the device.
cudaError_t LaunchFindNotFinite(const void* x, int64_t count, DType dtype, int32_t* found,
                                cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_REDUCE_H_
