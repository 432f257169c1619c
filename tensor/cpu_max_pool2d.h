#ifndef PARLEY_TENSOR_CPU_MAX_POOL2D_H_
#define PARLEY_TENSOR_CPU_MAX_POOL2D_H_

#include "tensor/backend.h"

namespace parley {

// Max pooling on the CPU; meanings as in Backend.

void CpuMaxPool2d(const Tensor& x, const Window& window, const Tensor& y, const Tensor& argmax);
void CpuMaxPool2dGradient(const Tensor& dy, const Tensor& argmax, Write write, const Tensor& dx);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_MAX_POOL2D_H_
