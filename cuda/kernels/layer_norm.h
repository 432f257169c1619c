#ifndef PARLEY_CUDA_KERNELS_LAYER_NORM_H_
#define PARLEY_CUDA_KERNELS_LAYER_NORM_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Layer normalisation of [rows, columns] (elementwise.h says what holds for all kernels). gamma and
// beta are [columns], mean and rstd [rows]; they, dgamma and dbeta are double where `dtype`, that
// of x, y, dy and dx, is kFloat64, and float else.

cudaError_t LaunchLayerNorm(const void* x, const void* gamma, const void* beta, double epsilon,
                            int64_t rows, int64_t columns, DType dtype, void* y, void* mean,
                            void* rstd, cudaStream_t stream);
cudaError_t LaunchLayerNormGradient(const void* x, const void* gamma, const void* mean,
                                    const void* rstd, const void* dy, int64_t rows, int64_t columns,
                                    DType dtype, Write write, void* dx, cudaStream_t stream);

size_t LayerNormParameterGradientScratchBytes(int64_t rows, int64_t columns, DType dtype);
cudaError_t LaunchLayerNormParameterGradient(const void* x, const void* mean, const void* rstd,
                                             const void* dy, int64_t rows, int64_t columns,
                                             DType dtype, void* dgamma, void* dbeta, void* scratch,
                                             cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_LAYER_NORM_H_
