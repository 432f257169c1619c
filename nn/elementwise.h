#ifndef PARLEY_NN_ELEMENTWISE_H_
#define PARLEY_NN_ELEMENTWISE_H_

#include <cstdint>

#include "nn/variable.h"

namespace parley::nn {

// Differentiable functions of single elements, on the device of their first argument. Variables of
// one call have one floating dtype, which the result has too. What does not fit is a failed CHECK.

// Elementwise, of shapes that NumPy's broadcasting brings together: dimensions are aligned at the
// last one, and one of size 1, or missing, is repeated.
Variable Add(const Variable& a, const Variable& b);
Variable Subtract(const Variable& a, const Variable& b);
Variable Multiply(const Variable& a, const Variable& b);
Variable Divide(const Variable& a, const Variable& b);
// x[..., n] + bias[n]
Variable AddBias(const Variable& x, const Variable& bias);

// scale * x + shift
Variable Affine(const Variable& x, double scale, double shift);
// factor * x
Variable Scale(const Variable& x, double factor);

// See UnaryOp (tensor/ops.h) for the formulas. Each keeps one tensor for its gradient: its result,
// or, where a comment says so, its argument.
Variable Relu(const Variable& x);
Variable Sigmoid(const Variable& x);
Variable Tanh(const Variable& x);
Variable Gelu(const Variable& x);  // keeps x
Variable Exp(const Variable& x);
Variable Log(const Variable& x);  // keeps x
Variable Sqrt(const Variable& x);
Variable Square(const Variable& x);    // keeps x
Variable Softplus(const Variable& x);  // keeps x

// x in another floating dtype, rounded to nearest even; its gradient is cast back. x itself when it
// has that dtype.
Variable Cast(const Variable& x, DType dtype);

// Each element becomes 0 with probability `rate`, in [0, 1), and is divided by 1 - rate otherwise
// (Srivastava et al., 2014). The same (seed, stream) drops the same elements: Backend::Dropout.
Variable Dropout(const Variable& x, double rate, uint64_t seed, uint64_t stream);

// x as an input: no gradient flows back through it.
Variable Detach(const Variable& x);

}  // namespace parley::nn

#endif  // PARLEY_NN_ELEMENTWISE_H_
