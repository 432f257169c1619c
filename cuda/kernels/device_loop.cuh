#ifndef PARLEY_CUDA_KERNELS_DEVICE_LOOP_CUH_
#define PARLEY_CUDA_KERNELS_DEVICE_LOOP_CUH_

#include <algorithm>
#include <cstdint>

#include "cuda/kernels/divisor.h"
#include "cuda/kernels/strides.h"

namespace parley {

// A StridedLoop as kernels take it: divisions by its extents are fast where Index is uint32_t, for
// which all places must be below 2^31.
template <typename Index>
struct DeviceLoop {
  explicit DeviceLoop(const StridedLoop& loop) : rank(loop.rank) {
    for (int d = 0; d < rank; ++d) {
      // Nothing is looked up in an empty loop.
      extents[d] = Divisor<Index>(std::max<int64_t>(loop.extents[d], 1));
      for (int array = 0; array < StridedLoop::kMaxArrays; ++array) {
        strides[array][d] = static_cast<Index>(loop.strides[array][d]);
      }
    }
  }

  // The places, but for the offsets, of the walk's index number `i`.
  __device__ __forceinline__ void Places(Index i, Index (&places)[StridedLoop::kMaxArrays]) const {
    places[0] = places[1] = 0;
#pragma unroll 1
    for (int d = rank - 1; d > 0; --d) {
      const Index rest = extents[d].Quotient(i);
      const Index at = i - rest * extents[d].divisor();
      places[0] += at * strides[0][d];
      places[1] += at * strides[1][d];
      i = rest;
    }
    places[0] += i * strides[0][0];
    places[1] += i * strides[1][0];
  }

  // The same of array 0 alone.
  __device__ __forceinline__ Index Place(Index i) const {
    Index places[StridedLoop::kMaxArrays];
    Places(i, places);
    return places[0];
  }

  int rank;
  Divisor<Index> extents[kMaxDims];
  Index strides[StridedLoop::kMaxArrays][kMaxDims];
};

// A bound of all indices and places of `loop`.
inline int64_t BoundOf(const StridedLoop& loop) {
  return std::max({loop.count(), loop.reach(0), loop.reach(1)});
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_DEVICE_LOOP_CUH_
