#ifndef PARLEY_TENSOR_CPU_BINARY_H_
#define PARLEY_TENSOR_CPU_BINARY_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuBinary(BinaryOp op, const Tensor& a, const Tensor& b, Write write, const Tensor& out);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_BINARY_H_
