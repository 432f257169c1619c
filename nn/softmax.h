#ifndef PARLEY_NN_SOFTMAX_H_
#define PARLEY_NN_SOFTMAX_H_

#include "nn/variable.h"

namespace parley::nn {

// Differentiable functions over the last dimension. Each keeps its result for its gradient.

// exp(x) / sum exp(x)
Variable Softmax(const Variable& x);
// The same where row i of the last two dimensions sees only columns 0 to i; the others become 0:
// attention that does not look ahead.
Variable CausalSoftmax(const Variable& x);
// x - log sum exp(x)
Variable LogSoftmax(const Variable& x);

}  // namespace parley::nn

#endif  // PARLEY_NN_SOFTMAX_H_
