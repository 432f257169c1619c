#ifndef PARLEY_TENSOR_CPU_CAST_H_
#define PARLEY_TENSOR_CPU_CAST_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuFill(double value, const Tensor& out);
// What lies beyond an integer type becomes its nearest value, NaN 0.
void CpuCast(const Tensor& x, Write write, const Tensor& out);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_CAST_H_
