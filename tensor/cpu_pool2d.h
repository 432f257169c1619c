#ifndef PARLEY_TENSOR_CPU_POOL2D_H_
#define PARLEY_TENSOR_CPU_POOL2D_H_

#include "tensor/backend.h"

namespace parley {

// Pooling on the CPU; meanings as in Backend. Gradients are added in the order of the outputs.

void CpuMaxPool2d(const Tensor& x, const Window& window, const Tensor& y, const Tensor& argmax);
void CpuMaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                          const Tensor& dx);
void CpuAvgPool2d(const Tensor& x, const Window& window, const Tensor& y);
void CpuAvgPool2dGradient(const Tensor& dy, const Window& window, Write write, const Tensor& dx);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_POOL2D_H_
