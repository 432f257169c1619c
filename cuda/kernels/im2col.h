#ifndef PARLEY_CUDA_KERNELS_IM2COL_H_
#define PARLEY_CUDA_KERNELS_IM2COL_H_

#include <cuda_runtime_api.h>

#include "cuda/kernels/image.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Convolution as matrix products, without cuDNN (elementwise.h says what holds for all kernels).
// With patches [output_pixels, window.height * window.width * channels] and a filter [height,
// width, channels, out channels] as a matrix of rows:
//   y = patches filter,  dfilter = patches^T dy,  dx = col2im(dy filter^T).
// A part of the batch is done by moving the pointer and setting image.batch.

// patches = the windows of x [image], zeros where there is padding; of x's dtype.
cudaError_t LaunchIm2col(const void* x, const ImageShape& image, const Window& window, DType dtype,
                         void* patches, cudaStream_t stream);

// dx = the sum over all windows that cover an element, in order. `dpatches` is double for kFloat64
// and float for every other `dtype`, that of dx, so that it is rounded once.
cudaError_t LaunchCol2im(const void* dpatches, const ImageShape& image, const Window& window,
                         DType dtype, Write write, void* dx, cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_IM2COL_H_
