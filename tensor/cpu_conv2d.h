#ifndef PARLEY_TENSOR_CPU_CONV2D_H_
#define PARLEY_TENSOR_CPU_CONV2D_H_

#include "tensor/backend.h"

namespace parley {

// Convolution on the CPU. Products are made straight from the images (cpu_tile.h): the left side of
// a tile is given by pointers to pixels (Dukhan, "The Indirect Convolution Algorithm", 2019), so no
// patches are copied, and pixels that see the same part of the window share tiles, so padding costs
// nothing. Meanings as in Backend.

void CpuConv2d(const Tensor& x, const Tensor& filter, const Window& window, const Tensor& y);
void CpuConv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                            Write write, const Tensor& dx);
void CpuConv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                             const Tensor& dfilter);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_CONV2D_H_
