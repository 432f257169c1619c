#ifndef PARLEY_TENSOR_CPU_ROWS_H_
#define PARLEY_TENSOR_CPU_ROWS_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
// Gathers rows of any dtype.
void CpuGatherRows(const Tensor& table, const Tensor& indices, const Tensor& out);
void CpuScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                       const Tensor& dtable);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_ROWS_H_
