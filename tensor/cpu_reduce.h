#ifndef PARLEY_TENSOR_CPU_REDUCE_H_
#define PARLEY_TENSOR_CPU_REDUCE_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuReduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_REDUCE_H_
