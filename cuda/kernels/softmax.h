#ifndef PARLEY_CUDA_KERNELS_SOFTMAX_H_
#define PARLEY_CUDA_KERNELS_SOFTMAX_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Softmax over the rows of a [rows, columns] matrix (elementwise.h says what holds for all
// kernels).

// If `causal_rows` is not 0, row i sees only columns 0 to i % causal_rows, and the others become 0:
// the size of the last dimension but one.
cudaError_t LaunchSoftmax(const void* x, int64_t rows, int64_t columns, int64_t causal_rows,
                          DType dtype, void* y, cudaStream_t stream);
cudaError_t LaunchSoftmaxGradient(const void* y, const void* dy, int64_t rows, int64_t columns,
                                  DType dtype, Write write, void* dx, cudaStream_t stream);
cudaError_t LaunchLogSoftmax(const void* x, int64_t rows, int64_t columns, DType dtype, void* y,
                             cudaStream_t stream);
cudaError_t LaunchLogSoftmaxGradient(const void* y, const void* dy, int64_t rows, int64_t columns,
                                     DType dtype, Write write, void* dx, cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_SOFTMAX_H_
