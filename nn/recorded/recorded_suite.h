#ifndef PARLEY_NN_RECORDED_RECORDED_SUITE_H_
#define PARLEY_NN_RECORDED_RECORDED_SUITE_H_

#include "tensor/backend.h"

namespace parley::nn {

// For a test of any backend: expects that every layer and loss, computed there in `dtype`, agrees
// with what PyTorch computed (layers.txt and losses.txt, found from the root of the workspace):
// outputs, gradients of inputs and of parameters, moving statistics. Each element is within
// `tolerance` times the largest of its tensor, or times 1/8 where that is larger, or 1 where all
// are 0.
void ExpectLayersAgreeWithPyTorch(Backend* backend, DType dtype, double tolerance);
void ExpectLossesAgreeWithPyTorch(Backend* backend, DType dtype, double tolerance);

}  // namespace parley::nn

#endif  // PARLEY_NN_RECORDED_RECORDED_SUITE_H_
