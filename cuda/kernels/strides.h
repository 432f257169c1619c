#ifndef PARLEY_CUDA_KERNELS_STRIDES_H_
#define PARLEY_CUDA_KERNELS_STRIDES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/kernels/extents.h"

namespace parley {

// Which element of which array a kernel's index means: the arithmetic of broadcasting, permuting,
// slicing and reducing, on the host. All functions are pure; strides and offsets are in elements.

// Dimensions that a kernel can take; the functions join all that can be joined first.
constexpr int kMaxDims = 8;

// A walk over several arrays at once: index (i0, i1, ...) is at the sum of i * stride in each.
// Invariants after a successful plan: 1 <= rank <= kMaxDims; no extent is 1, but where all are.
struct StridedLoop {
  static constexpr int kMaxArrays = 2;

  int rank = 1;
  int64_t extents[kMaxDims] = {1};  // outermost first
  int64_t strides[kMaxArrays][kMaxDims] = {};
  int64_t offsets[kMaxArrays] = {};  // of index 0

  int64_t count() const;
  // One past the largest place that array number `array` is touched at.
  int64_t reach(int array) const;
};

// Arrays 0 and 1 are a and b, broadcast to `out`, whose elements are walked in order. False where
// they do not broadcast to it, or too many dimensions remain.
bool PlanBroadcast(const Extents& a, const Extents& b, const Extents& out, StridedLoop* loop);

// Array 0 is x, array 1 the permuted result, walked in order. False where `axes` is no permutation.
bool PlanPermute(const Extents& x, const std::vector<int>& axes, StridedLoop* loop);

// Array 0 is dense of `part`, array 1 the part of that size at `begin` of `whole`. False where that
// is outside.
bool PlanSlice(const Extents& whole, const Extents& begin, const Extents& part, StridedLoop* loop);

// How many neighbours, at most `limit` (a power of two), can be moved as one: a power of two that
// divides the innermost extent and all outer strides and the offsets. 1 where an innermost stride
// is not 1.
int64_t JoinableNeighbours(const StridedLoop& loop, int64_t limit);
// The same walk in units of that many elements.
StridedLoop InUnitsOf(int64_t neighbours, const StridedLoop& loop);

// A reduction of a dense array: output o, whose index is over `kept`, is over all of `reduced`.
// Array 0 is the input.
struct ReducePlan {
  StridedLoop kept;
  StridedLoop reduced;
  bool innermost_is_reduced = false;
};

// False where the shapes do not fit, or too many dimensions remain.
bool PlanReduce(const Extents& x, const Extents& out, ReducePlan* plan);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_STRIDES_H_
