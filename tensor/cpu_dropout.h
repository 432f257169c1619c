#ifndef PARLEY_TENSOR_CPU_DROPOUT_H_
#define PARLEY_TENSOR_CPU_DROPOUT_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuDropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
                const Tensor& y);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_DROPOUT_H_
