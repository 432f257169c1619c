#ifndef PARLEY_CUDA_KERNELS_BATCH_NORM_H_
#define PARLEY_CUDA_KERNELS_BATCH_NORM_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Batch normalisation of [rows, columns], over the rows (elementwise.h says what holds for all
// kernels). All vectors are [columns], double where `dtype`, that of x, y, dy and dx, is kFloat64,
// and float else.

// For LaunchBatchNorm and LaunchBatchNormGradient alike.
size_t BatchNormScratchBytes(int64_t rows, int64_t columns, DType dtype);

// Mean and variance of parts of the rows are joined as by Chan, Golub and LeVeque (1979).
cudaError_t LaunchBatchNorm(const void* x, const void* gamma, const void* beta, double epsilon,
                            int64_t rows, int64_t columns, DType dtype, void* y, void* mean,
                            void* variance, void* scratch, cudaStream_t stream);
cudaError_t LaunchBatchNormInference(const void* x, const void* gamma, const void* beta,
                                     const void* mean, const void* variance, double epsilon,
                                     int64_t rows, int64_t columns, DType dtype, void* y,
                                     cudaStream_t stream);
// `dx` may be null: then only dgamma and dbeta are made.
cudaError_t LaunchBatchNormGradient(const void* x, const void* gamma, const void* mean,
                                    const void* variance, double epsilon, const void* dy,
                                    int64_t rows, int64_t columns, DType dtype, Write write,
                                    void* dx, void* dgamma, void* dbeta, void* scratch,
                                    cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_BATCH_NORM_H_
