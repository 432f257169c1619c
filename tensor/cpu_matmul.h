#ifndef PARLEY_TENSOR_CPU_MATMUL_H_
#define PARLEY_TENSOR_CPU_MATMUL_H_

#include "tensor/backend.h"

namespace parley {

// Matrix products on the CPU: blocks that fit the caches, put in the order in which tiles
// (cpu_tile.h) read them (Goto and van de Geijn, 2008). Sums run over the inner dimension in order,
// in blocks whose size depends on that dimension only. Meanings as in Backend.

void CpuMatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
               const Tensor& out);
void CpuBatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                    bool transpose_b, Write write, const Tensor& out);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_MATMUL_H_
