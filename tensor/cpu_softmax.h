#ifndef PARLEY_TENSOR_CPU_SOFTMAX_H_
#define PARLEY_TENSOR_CPU_SOFTMAX_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
void CpuSoftmax(const Tensor& x, bool causal, const Tensor& y);
void CpuSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx);
void CpuLogSoftmax(const Tensor& x, const Tensor& y);
void CpuLogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx);
void CpuSoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                            const Tensor& loss);
void CpuSoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                    const Tensor& dloss, Write write, const Tensor& dlogits);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_SOFTMAX_H_
