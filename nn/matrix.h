#ifndef PARLEY_NN_MATRIX_H_
#define PARLEY_NN_MATRIX_H_

#include "nn/variable.h"

namespace parley::nn {

// Differentiable products of matrices, of one floating dtype. Shapes that do not fit are a failed
// CHECK.

// x[..., k] w[k, n] -> [..., n], or, with transpose_w, x[..., k] w[n, k]^T.
Variable MatMul(const Variable& x, const Variable& w, bool transpose_w = false);

// scale * op(a)[..., m, k] op(b)[..., k, n] -> [..., m, n], where op swaps the last two dimensions
// if told so: one product for each index of the leading dimensions, which are the same in a and b.
Variable BatchMatMul(const Variable& a, bool transpose_a, const Variable& b, bool transpose_b,
                     double scale = 1);

}  // namespace parley::nn

#endif  // PARLEY_NN_MATRIX_H_
