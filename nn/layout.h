#ifndef PARLEY_NN_LAYOUT_H_
#define PARLEY_NN_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "nn/variable.h"

namespace parley::nn {

// Differentiable functions that only move elements. A negative axis counts from the end. What does
// not fit is a failed CHECK.

// The same elements, not copied, under another shape of as many.
Variable Reshape(const Variable& x, Shape shape);
// The result's dimension i is x's dimension axes[i].
Variable Permute(const Variable& x, const std::vector<int>& axes);
// With the last two dimensions swapped.
Variable Transpose(const Variable& x);

// One after the other along `axis`; at least one part, all alike in the other dimensions.
Variable Concat(const std::vector<Variable>& parts, int axis);
// The places begin to begin + size - 1 of `axis`.
Variable Slice(const Variable& x, int axis, int64_t begin, int64_t size);
// Consecutive slices of these sizes, which add up to x's size along `axis`.
std::vector<Variable> Split(const Variable& x, int axis, const std::vector<int64_t>& sizes);

// table[rows, width] -> [the dimensions of indices..., width]: the rows of `table` named by
// `indices`, int32 or int64, each in [0, rows); for embeddings.
Variable GatherRows(const Variable& table, const Tensor& indices);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYOUT_H_
