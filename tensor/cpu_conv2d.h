#ifndef PARLEY_TENSOR_CPU_CONV2D_H_
#define PARLEY_TENSOR_CPU_CONV2D_H_

#include "tensor/backend.h"

namespace parley {

// Convolution on the CPU, as a matrix product of patches (Chellapilla et al., 2006): a patch is the
// window of x that one output pixel sees, a row of [window height * window width * channels]. Some
// images at a time, so that their patches stay in the second-level cache. Meanings as in Backend.

void CpuConv2d(const Tensor& x, const Tensor& filter, const Window& window, const Tensor& y);
void CpuConv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                            Write write, const Tensor& dx);
void CpuConv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                             const Tensor& dfilter);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_CONV2D_H_
