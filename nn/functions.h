#ifndef PARLEY_NN_FUNCTIONS_H_
#define PARLEY_NN_FUNCTIONS_H_

#include "nn/variable.h"
#include "tensor/backend.h"

namespace parley::nn {

// Differentiable functions of variables, on the device of their first argument. A tensor of rank
// above two counts as a matrix of its last dimension where a matrix is wanted. Shapes that do not
// fit are a failed CHECK.

// x[m, k] w[k, n] -> [m, n]
Variable MatMul(const Variable& x, const Variable& w);
// x[..., n] + bias[n]
Variable AddBias(const Variable& x, const Variable& bias);
// Elementwise, of one shape.
Variable Add(const Variable& a, const Variable& b);
Variable Multiply(const Variable& a, const Variable& b);
Variable Scale(const Variable& x, float factor);
// The mean of all elements, a scalar.
Variable Mean(const Variable& x);
Variable Reshape(const Variable& x, Shape shape);

Variable Relu(const Variable& x);
Variable Sigmoid(const Variable& x);
Variable Tanh(const Variable& x);
// Over the last dimension.
Variable Softmax(const Variable& x);

// x[batch, height, width, channels], filter[window height, window width, channels, out channels]
Variable Conv2d(const Variable& x, const Variable& filter, const Window& window);
Variable MaxPool2d(const Variable& x, const Window& window);

// The mean over rows of -log softmax(logits[n, classes])[label], a scalar; `labels` is int32 [n],
// each in [0, classes).
Variable SoftmaxCrossEntropy(const Variable& logits, const Tensor& labels);

}  // namespace parley::nn

#endif  // PARLEY_NN_FUNCTIONS_H_
