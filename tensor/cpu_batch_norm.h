#ifndef PARLEY_TENSOR_CPU_BATCH_NORM_H_
#define PARLEY_TENSOR_CPU_BATCH_NORM_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuBatchNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                  const Tensor& y, const Tensor& mean, const Tensor& variance);
void CpuBatchNormInference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                           const Tensor& mean, const Tensor& variance, double epsilon,
                           const Tensor& y);
void CpuBatchNormGradient(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                          const Tensor& variance, double epsilon, const Tensor& dy, Write write,
                          const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_BATCH_NORM_H_
