#ifndef PARLEY_CUDA_KERNELS_ELEMENTWISE_H_
#define PARLEY_CUDA_KERNELS_ELEMENTWISE_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Operations on every element by itself, as tensor/backend.h defines them. What holds for all of
// cuda/kernels/:
//
// A Launch function starts its kernels in `stream` and returns at once; an error is that of the
// launch, or cudaErrorInvalidValue for a dtype that the operation does not have. Pointers are to
// device memory, dense and row-major, aligned to their element at least; from 16 bytes on it is
// fast. `count` is in elements. Nothing empty is launched. The same inputs give the same bits.
// Scratch memory, where one is asked for, is 256-byte aligned and in use until the stream has
// passed the call. Thread safety: safe from any thread whose current device is that of the stream.

// Of any dtype.
cudaError_t LaunchFill(double value, void* out, int64_t count, DType dtype, cudaStream_t stream);

// Any two dtypes.
cudaError_t LaunchCast(const void* x, DType x_dtype, int64_t count, Write write, void* out,
                       DType out_dtype, cudaStream_t stream);

cudaError_t LaunchAffine(double scale, const void* x, double shift, int64_t count, DType dtype,
                         Write write, void* out, cudaStream_t stream);

cudaError_t LaunchUnary(UnaryOp op, const void* x, int64_t count, DType dtype, void* y,
                        cudaStream_t stream);

// Of `x` and `y` the one that `op` does not need (GradientNeedsInput) may be null.
cudaError_t LaunchUnaryGradient(UnaryOp op, const void* x, const void* y, const void* dy,
                                int64_t count, DType dtype, Write write, void* dx,
                                cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_ELEMENTWISE_H_
