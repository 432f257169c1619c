#ifndef PARLEY_CUDA_KERNELS_ROWWISE_CUH_
#define PARLEY_CUDA_KERNELS_ROWWISE_CUH_

#include <cstdint>

#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiling.h"
#include "cuda/kernels/types.cuh"

namespace parley {

// Kernels that need whole rows of a matrix: several passes over each, from registers where it fits.
//
// A row is treated by kThreads threads: a warp, or a whole block. Each keeps kItems elements in
// registers, or none, and reads them again, where kItems is 0. All threads of a row must take part
// in SumOfRow and MaxOfRow.
template <int kThreadsOfRow, int kItemsOfThread>
struct RowGroup {
  static constexpr int kThreads = kThreadsOfRow;
  static constexpr int kItems = kItemsOfThread;
  // Of a block; a block of warps treats several rows.
  static constexpr int kBlock = kThreads < 128 ? 128 : kThreads;
  static constexpr int kRowsOfBlock = kBlock / kThreads;

  // The row of this thread; may be past the last one.
  static __device__ __forceinline__ int64_t Row() {
    return static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.x / kThreads;
  }

  // function(k, column) for this thread's columns; k is the number of its item.
  template <typename Function>
  static __device__ __forceinline__ void ForEachColumn(int64_t columns, Function function) {
    const int lane = threadIdx.x % kThreads;
    if constexpr (kItems == 0) {
      for (int64_t column = lane; column < columns; column += kThreads) function(0, column);
    } else {
#pragma unroll
      for (int k = 0; k < kItems; ++k) {
        const int64_t column = lane + k * kThreads;
        if (column < columns) function(k, column);
      }
    }
  }

  template <typename W, typename Join>
  static __device__ __forceinline__ W OfRow(W value, Join join) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
      value = join(value, __shfl_xor_sync(0xffffffff, value, distance));
    }
    if constexpr (kThreads > 32) {
      __shared__ W of_warps[kThreads / 32];
      __syncthreads();  // until all have read what an earlier call left there
      if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
      __syncthreads();
      value = of_warps[0];
#pragma unroll
      for (int warp = 1; warp < kThreads / 32; ++warp) value = join(value, of_warps[warp]);
    }
    return value;
  }

  template <typename W>
  static __device__ __forceinline__ W SumOfRow(W value) {
    return OfRow(value, [](W a, W b) { return a + b; });
  }
  template <typename W>
  static __device__ __forceinline__ W MaxOfRow(W value) {
    return OfRow(value, [](W a, W b) { return a > b ? a : b; });
  }
};

// This thread's part of a row.
template <typename T, typename Group>
class RowValues {
 public:
  __device__ __forceinline__ RowValues(const T* row, int64_t columns) : row_(row) {
    if constexpr (Group::kItems > 0) {
      Group::ForEachColumn(columns,
                           [&](int k, int64_t column) { items_[k] = ToWork(row[column]); });
    }
  }

  __device__ __forceinline__ Work<T> At(int k, int64_t column) const {
    if constexpr (Group::kItems > 0) {
      return items_[k];
    } else {
      return ToWork(row_[column]);
    }
  }

 private:
  const T* row_;
  Work<T> items_[Group::kItems > 0 ? Group::kItems : 1];
};

// launch(RowGroup<...>()) of the group that fits.
template <typename Function>
cudaError_t WithRowGroup(int64_t columns, Function launch) {
  if (columns <= 64) return launch(RowGroup<32, 2>());
  if (columns <= 256) return launch(RowGroup<32, 8>());
  if (columns <= 1024) return launch(RowGroup<32, 32>());
  if (columns <= 4096) return launch(RowGroup<256, 16>());
  return launch(RowGroup<512, 0>());
}

// With the group's blocks for `rows` rows, of which there are some.
template <typename Group, typename... Parameters, typename... Arguments>
cudaError_t LaunchRows(void (*kernel)(Parameters...), int64_t rows, cudaStream_t stream,
                       Arguments... arguments) {
  const int64_t blocks = CeilDivide(rows, Group::kRowsOfBlock);
  if (blocks >= int64_t{1} << 31) return cudaErrorInvalidValue;
  return LaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(Group::kBlock), stream,
                      arguments...);
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_ROWWISE_CUH_
