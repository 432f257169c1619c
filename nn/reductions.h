#ifndef PARLEY_NN_REDUCTIONS_H_
#define PARLEY_NN_REDUCTIONS_H_

#include <vector>

#include "nn/variable.h"

namespace parley::nn {

// Differentiable sums over dimensions. 16-bit elements are summed in float32, and the result is
// rounded once.

// Of all elements, a scalar. A sum of nothing is 0, a mean of nothing NaN.
Variable Sum(const Variable& x);
Variable Mean(const Variable& x);

// Over the dimensions `axes`, each once, a negative one counting from the end. They are dropped, or
// stay with size 1 where keep_dimensions says so.
Variable Sum(const Variable& x, const std::vector<int>& axes, bool keep_dimensions = false);
Variable Mean(const Variable& x, const std::vector<int>& axes, bool keep_dimensions = false);

}  // namespace parley::nn

#endif  // PARLEY_NN_REDUCTIONS_H_
