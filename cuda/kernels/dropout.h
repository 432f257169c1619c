#ifndef PARLEY_CUDA_KERNELS_DROPOUT_H_
#define PARLEY_CUDA_KERNELS_DROPOUT_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// y[i] = x[i] / (1 - rate) where word i % 4 of Philox(seed, random_stream, i / 4) is at least
// rate * 2^32, else 0; `rate` in [0, 1) (elementwise.h says what holds for all kernels).
cudaError_t LaunchDropout(const void* x, double rate, uint64_t seed, uint64_t random_stream,
                          int64_t count, DType dtype, Write write, void* y, cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_DROPOUT_H_
