#ifndef PARLEY_CUDA_KERNELS_POOL2D_H_
#define PARLEY_CUDA_KERNELS_POOL2D_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/kernels/image.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Pooling as tensor/backend.h defines it (elementwise.h says what holds for all kernels).
// `image` is the shape of x and dx. The gradients gather: each element of dx looks at the windows
// that cover it, in order.
cudaError_t LaunchMaxPool2d(const void* x, const ImageShape& image, const Window& window,
                            DType dtype, void* y, int32_t* argmax, cudaStream_t stream);
cudaError_t LaunchMaxPool2dGradient(const void* dy, const int32_t* argmax, const ImageShape& image,
                                    const Window& window, DType dtype, Write write, void* dx,
                                    cudaStream_t stream);
cudaError_t LaunchAvgPool2d(const void* x, const ImageShape& image, const Window& window,
                            DType dtype, void* y, cudaStream_t stream);
cudaError_t LaunchAvgPool2dGradient(const void* dy, const ImageShape& image, const Window& window,
                                    DType dtype, Write write, void* dx, cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_POOL2D_H_
