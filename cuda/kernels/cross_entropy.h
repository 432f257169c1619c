#ifndef PARLEY_CUDA_KERNELS_CROSS_ENTROPY_H_
#define PARLEY_CUDA_KERNELS_CROSS_ENTROPY_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Softmax cross entropy of [rows, classes] logits with int32 labels (elementwise.h says what holds
// for all kernels). A label outside of [0, classes) stops the device for good:
// cudaErrorLaunchFailure, at the next synchronisation.

size_t CrossEntropyScratchBytes(int64_t rows, DType dtype);

// loss[0] = the mean over the rows of log sum exp(logits) - logits[label]; NaN for no rows.
cudaError_t LaunchCrossEntropy(const void* logits, const int32_t* labels, int64_t rows,
                               int64_t classes, DType dtype, void* probabilities, void* loss,
                               void* scratch, cudaStream_t stream);
cudaError_t LaunchCrossEntropyGradient(const void* probabilities, const int32_t* labels,
                                       const void* dloss, int64_t rows, int64_t classes,
                                       DType dtype, Write write, void* dlogits,
                                       cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_CROSS_ENTROPY_H_
