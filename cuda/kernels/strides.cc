#include "cuda/kernels/strides.h"

#include <algorithm>

namespace parley {
namespace {

// One dimension of a walk over up to two arrays.
struct Dimension {
  int64_t extent = 1;
  int64_t strides[StridedLoop::kMaxArrays] = {};
};

Extents DenseStrides(const Extents& extents) {
  Extents strides(extents.size(), 1);
  for (size_t i = extents.size(); i-- > 1;) strides[i - 1] = strides[i] * extents[i];
  return strides;
}

// `dimensions`, outermost first, as few as possible; false where they are too many.
bool Join(const std::vector<Dimension>& dimensions, StridedLoop* loop) {
  std::vector<Dimension> joined;
  for (const Dimension& inner : dimensions) {
    if (inner.extent == 1) continue;
    const auto continues = [&](int array) {
      return joined.back().strides[array] == inner.extent * inner.strides[array];
    };
    if (!joined.empty() && continues(0) && continues(1)) {
      Dimension both = inner;
      both.extent *= joined.back().extent;
      joined.back() = both;
    } else {
      joined.push_back(inner);
    }
  }
  if (joined.empty()) joined.push_back({1, {1, 1}});
  if (joined.size() > kMaxDims) return false;
  loop->rank = static_cast<int>(joined.size());
  for (int d = 0; d < loop->rank; ++d) {
    loop->extents[d] = joined[d].extent;
    for (int array = 0; array < StridedLoop::kMaxArrays; ++array) {
      loop->strides[array][d] = joined[d].strides[array];
    }
  }
  return true;
}

// The strides of a dense array of `extents` within a walk over `out`: 0 where it is repeated.
bool RepeatedStrides(const Extents& extents, const Extents& out, int array,
                     std::vector<Dimension>* dimensions) {
  if (extents.size() > out.size()) return false;
  const Extents dense = DenseStrides(extents);
  const size_t missing = out.size() - extents.size();
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] != out[missing + i] && extents[i] != 1) return false;
    (*dimensions)[missing + i].strides[array] = extents[i] == 1 ? 0 : dense[i];
  }
  return true;
}

}  // namespace

int64_t StridedLoop::count() const {
  int64_t count = 1;
  for (int d = 0; d < rank; ++d) count *= extents[d];
  return count;
}

int64_t StridedLoop::reach(int array) const {
  int64_t last = offsets[array];
  for (int d = 0; d < rank; ++d) {
    if (extents[d] == 0) return 0;
    last += (extents[d] - 1) * strides[array][d];
  }
  return last + 1;
}

bool PlanBroadcast(const Extents& a, const Extents& b, const Extents& out, StridedLoop* loop) {
  *loop = StridedLoop();
  std::vector<Dimension> dimensions(out.size());
  for (size_t i = 0; i < out.size(); ++i) dimensions[i].extent = out[i];
  return RepeatedStrides(a, out, 0, &dimensions) && RepeatedStrides(b, out, 1, &dimensions) &&
         Join(dimensions, loop);
}

bool PlanPermute(const Extents& x, const std::vector<int>& axes, StridedLoop* loop) {
  *loop = StridedLoop();
  if (axes.size() != x.size()) return false;
  const Extents x_strides = DenseStrides(x);
  std::vector<bool> seen(x.size(), false);
  Extents out;
  for (const int axis : axes) {
    if (axis < 0 || static_cast<size_t>(axis) >= x.size() || seen[axis]) return false;
    seen[axis] = true;
    out.push_back(x[axis]);
  }
  const Extents out_strides = DenseStrides(out);
  std::vector<Dimension> dimensions(out.size());
  for (size_t i = 0; i < out.size(); ++i) {
    dimensions[i] = {out[i], {x_strides[axes[i]], out_strides[i]}};
  }
  return Join(dimensions, loop);
}

bool PlanSlice(const Extents& whole, const Extents& begin, const Extents& part, StridedLoop* loop) {
  *loop = StridedLoop();
  if (begin.size() != whole.size() || part.size() != whole.size()) return false;
  const Extents whole_strides = DenseStrides(whole);
  const Extents part_strides = DenseStrides(part);
  std::vector<Dimension> dimensions(whole.size());
  int64_t offset = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    if (begin[i] < 0 || part[i] < 0 || begin[i] > whole[i] - part[i]) return false;
    offset += begin[i] * whole_strides[i];
    dimensions[i] = {part[i], {part_strides[i], whole_strides[i]}};
  }
  loop->offsets[1] = offset;
  return Join(dimensions, loop);
}

int64_t JoinableNeighbours(const StridedLoop& loop, int64_t limit) {
  const int inner = loop.rank - 1;
  int64_t bits = limit | loop.extents[inner];
  for (int array = 0; array < StridedLoop::kMaxArrays; ++array) {
    if (loop.strides[array][inner] != 1) return 1;
    bits |= loop.offsets[array];
    for (int d = 0; d < inner; ++d) bits |= loop.strides[array][d];
  }
  return bits & -bits;
}

StridedLoop InUnitsOf(int64_t neighbours, const StridedLoop& loop) {
  if (neighbours == 1) return loop;
  StridedLoop units = loop;
  const int inner = loop.rank - 1;
  units.extents[inner] /= neighbours;
  for (int array = 0; array < StridedLoop::kMaxArrays; ++array) {
    units.offsets[array] /= neighbours;
    for (int d = 0; d < inner; ++d) units.strides[array][d] /= neighbours;
  }
  return units;
}

bool PlanReduce(const Extents& x, const Extents& out, ReducePlan* plan) {
  *plan = ReducePlan();
  if (out.size() > x.size()) return false;
  const Extents strides = DenseStrides(x);
  const size_t missing = x.size() - out.size();
  std::vector<Dimension> kept, reduced;
  for (size_t i = 0; i < x.size(); ++i) {
    const bool keeps = i >= missing && out[i - missing] == x[i];
    if (!keeps && i >= missing && out[i - missing] != 1) return false;
    // One that is kept counts for neither where its size is 1.
    if (keeps && x[i] == 1) continue;
    (keeps ? kept : reduced).push_back({x[i], {strides[i], 0}});
    if (x[i] != 1) plan->innermost_is_reduced = !keeps;
  }
  return Join(kept, &plan->kept) && Join(reduced, &plan->reduced);
}

}  // namespace parley
