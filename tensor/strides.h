#ifndef PARLEY_TENSOR_STRIDES_H_
#define PARLEY_TENSOR_STRIDES_H_

#include <array>
#include <cstdint>
#include <vector>

#include "tensor/shape.h"

namespace parley {

// A loop over several arrays at once, outermost dimension first: `size` steps, each of which moves
// by `strides[k]` elements in array k (0 where it stays).
template <size_t kArrays>
struct LoopDimension {
  int64_t size;
  std::array<int64_t, kArrays> strides;
};
template <size_t kArrays>
using Loop = std::vector<LoopDimension<kArrays>>;

// Row-major strides.
inline std::vector<int64_t> StridesOf(const Shape& shape) {
  std::vector<int64_t> strides(shape.rank());
  int64_t stride = 1;
  for (size_t axis = shape.rank(); axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
  return strides;
}

// The strides of `shape`, its dimensions aligned at the last of `rank` ones; 0 where it has one of
// size 1 or none.
inline std::vector<int64_t> BroadcastStrides(const Shape& shape, size_t rank) {
  const std::vector<int64_t> own = StridesOf(shape);
  std::vector<int64_t> strides(rank, 0);
  const size_t missing = rank - shape.rank();
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] != 1) strides[missing + axis] = own[axis];
  }
  return strides;
}

// The same loop without dimensions of size 1, and with neighbours that all arrays walk as if they
// were one, made one.
template <size_t kArrays>
Loop<kArrays> Collapsed(const Loop<kArrays>& loop) {
  Loop<kArrays> collapsed;
  for (const LoopDimension<kArrays>& dimension : loop) {
    if (dimension.size == 1) continue;
    bool joins = !collapsed.empty();
    for (size_t k = 0; joins && k < kArrays; ++k) {
      joins = collapsed.back().strides[k] == dimension.strides[k] * dimension.size;
    }
    if (joins) {
      collapsed.back().size *= dimension.size;
      collapsed.back().strides = dimension.strides;
    } else {
      collapsed.push_back(dimension);
    }
  }
  return collapsed;
}

// body(offsets), in order, of each step of the first `depth` dimensions; never where one of those
// is empty.
template <size_t kArrays, typename Body>
void ForEachStep(const Loop<kArrays>& loop, size_t depth, Body body) {
  for (size_t d = 0; d < depth; ++d) {
    if (loop[d].size == 0) return;
  }
  std::vector<int64_t> index(depth, 0);
  std::array<int64_t, kArrays> offsets = {};
  while (true) {
    body(offsets);
    size_t d = depth;
    while (true) {
      if (d == 0) return;
      --d;
      for (size_t k = 0; k < kArrays; ++k) offsets[k] += loop[d].strides[k];
      if (++index[d] < loop[d].size) break;
      for (size_t k = 0; k < kArrays; ++k) offsets[k] -= loop[d].strides[k] * loop[d].size;
      index[d] = 0;
    }
  }
}

}  // namespace parley

#endif  // PARLEY_TENSOR_STRIDES_H_
