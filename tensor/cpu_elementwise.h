#ifndef PARLEY_TENSOR_CPU_ELEMENTWISE_H_
#define PARLEY_TENSOR_CPU_ELEMENTWISE_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuAffine(double scale, const Tensor& x, double shift, Write write, const Tensor& out);
void CpuUnary(UnaryOp op, const Tensor& x, const Tensor& y);
void CpuUnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Write write,
                      const Tensor& dx);
bool CpuAllFinite(const Tensor& x);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_ELEMENTWISE_H_
