#ifndef PARLEY_TENSOR_CPU_LAYER_NORM_H_
#define PARLEY_TENSOR_CPU_LAYER_NORM_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuLayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                  const Tensor& y, const Tensor& mean, const Tensor& rstd);
void CpuLayerNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                          const Tensor& rstd, const Tensor& dy, Write write, const Tensor& dx);
void CpuLayerNormParameterGradient(const Tensor& x, const Tensor& mean, const Tensor& rstd,
                                   const Tensor& dy, const Tensor& dgamma, const Tensor& dbeta);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_LAYER_NORM_H_
