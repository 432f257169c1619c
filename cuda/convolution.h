#ifndef PARLEY_CUDA_CONVOLUTION_H_
#define PARLEY_CUDA_CONVOLUTION_H_

#include "absl/status/status.h"
#include "cuda/context.h"
#include "cuda/cudnn.h"
#include "tensor/ops.h"

namespace parley {

// Enqueues one pass of a convolution in the context's compute stream: out = (kAdd: out +) the
// result from `first` and `second`, in ConvolutionPass' order. Images are [batch, height, width,
// channels], filters [height, width, channels in, channels out]. The device is current.
//
// A window of one pixel is a matrix product at once. Any other convolution is cuDNN's, with the
// filter transposed for it, where it is found and has a repeatable algorithm; and else the product
// with the matrix of all windows (im2col), a part of the batch at a time.
absl::Status Convolve(Context& context, ConvolutionPass pass, const ConvolutionSizes& sizes,
                      const void* first, const void* second, Write write, void* out);

// The part without cuDNN, which also tests call.
absl::Status ConvolveByProducts(Context& context, ConvolutionPass pass,
                                const ConvolutionSizes& sizes, const void* first,
                                const void* second, Write write, void* out);

}  // namespace parley

#endif  // PARLEY_CUDA_CONVOLUTION_H_
