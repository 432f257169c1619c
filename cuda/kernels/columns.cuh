#ifndef PARLEY_CUDA_KERNELS_COLUMNS_CUH_
#define PARLEY_CUDA_KERNELS_COLUMNS_CUH_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiling.h"
#include "cuda/kernels/types.cuh"

namespace parley {

// Kernels over [rows, columns] in which a thread keeps to its columns, N neighbours, and walks down
// the rows; threads side by side have columns side by side.

// Which columns and rows the threads of a reduction treat: `tiling` of packs of N columns.
struct ColumnTask {
  int slot;
  int lane;
  int64_t split;
  int64_t column;
  int64_t begin;  // rows
  int64_t end;
};

template <int N>
__device__ __forceinline__ ColumnTask TaskOf(const ReduceTiling& tiling, int64_t rows) {
  ColumnTask task;
  task.slot = threadIdx.x % tiling.outputs;
  task.lane = threadIdx.x / tiling.outputs;
  task.split = blockIdx.x % tiling.splits;
  task.column = (blockIdx.x / tiling.splits * tiling.outputs + task.slot) * N;
  task.begin = task.split * tiling.split_size;
  task.end = min(task.begin + tiling.split_size, rows);
  return task;
}

inline ReduceTiling TileColumns(int64_t rows, int64_t columns, int neighbours) {
  return TileReduction(CeilDivide(columns, neighbours), rows, true);
}

// The second launch of a reduction: `splits` rows of partial results, unsplit.
inline ReduceTiling TileJoining(int64_t splits, int64_t columns) {
  ReduceTiling tiling = TileReduction(columns, splits, true);
  tiling.splits = 1;
  tiling.split_size = splits;
  return tiling;
}

// For two partial results of each column and split, whether in packs or not.
inline size_t ColumnSumsScratchBytes(int64_t rows, int64_t columns, DType dtype) {
  if (columns == 0) return 0;
  const size_t work = dtype == DType::kFloat64 ? sizeof(double) : sizeof(float);
  const int pack = static_cast<int>(16 / SizeOf(dtype));
  const int64_t splits =
      std::max(TileColumns(rows, columns, 1).splits, TileColumns(rows, columns, pack).splits);
  return splits == 1 ? 0 : static_cast<size_t>(2 * splits * columns) * work;
}

// first[split, column] and second[split, column] = the sums of a split's terms. `Terms` is a value
// with
//   template <int N> struct OfColumns;  // made of (terms, column): what a thread keeps
//   template <int N> __device__ void Add(const OfColumns<N>&, int64_t row, int64_t column,
//                                        W (&first)[N], W (&second)[N]) const;
template <int N, typename W, typename Terms>
__global__ void __launch_bounds__(kReduceThreads)
    ColumnSumsKernel(Terms terms, ReduceTiling tiling, int64_t rows, int64_t columns, W* first,
                     W* second) {
  __shared__ W sums[2][N][kReduceThreads];
  const ColumnTask task = TaskOf<N>(tiling, rows);
  W a[N] = {}, b[N] = {};
  if (task.column < columns) {
    const typename Terms::template OfColumns<N> of(terms, task.column);
#pragma unroll 4
    for (int64_t row = task.begin + task.lane; row < task.end; row += tiling.lanes) {
      terms.template Add<N>(of, row, task.column, a, b);
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) {
    sums[0][k][threadIdx.x] = a[k];
    sums[1][k][threadIdx.x] = b[k];
  }
  for (int half = tiling.lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (task.lane < half) {
      const int other = threadIdx.x + half * tiling.outputs;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sums[0][k][threadIdx.x] += sums[0][k][other];
        sums[1][k][threadIdx.x] += sums[1][k][other];
      }
    }
  }
  if (task.lane == 0 && task.column < columns) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      first[task.split * columns + task.column + k] = sums[0][k][threadIdx.x];
      second[task.split * columns + task.column + k] = sums[1][k][threadIdx.x];
    }
  }
}

// Sums that are summed again.
template <typename W>
struct PartialSums {
  const W* first_sums;
  const W* second_sums;
  int64_t columns;

  template <int N>
  struct OfColumns {
    __device__ OfColumns(const PartialSums&, int64_t) {}
  };

  template <int N>
  __device__ void Add(const OfColumns<N>&, int64_t row, int64_t column, W (&first)[N],
                      W (&second)[N]) const {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      first[k] += first_sums[row * columns + column + k];
      second[k] += second_sums[row * columns + column + k];
    }
  }
};

// first[column] and second[column] = the sums of all rows' terms, zeros for no rows; in packs of
// kPack<T> where the inputs are `aligned` and the columns a multiple. Scratch memory as
// ColumnSumsScratchBytes says.
template <typename T, typename Terms>
cudaError_t LaunchColumnSums(const Terms& terms, int64_t rows, int64_t columns, bool aligned,
                             Work<T>* first, Work<T>* second, Work<T>* scratch,
                             cudaStream_t stream) {
  using W = Work<T>;
  if (columns == 0) return cudaSuccess;
  const bool in_packs = aligned && columns % kPack<T> == 0;
  const ReduceTiling tiling = TileColumns(rows, columns, in_packs ? kPack<T> : 1);
  const bool split = tiling.splits > 1;
  W* partial_first = split ? scratch : first;
  W* partial_second = split ? scratch + tiling.splits * columns : second;
  const cudaError_t error =
      LaunchKernel(in_packs ? ColumnSumsKernel<kPack<T>, W, Terms> : ColumnSumsKernel<1, W, Terms>,
                   dim3(static_cast<unsigned>(tiling.blocks * tiling.splits)), dim3(kReduceThreads),
                   stream, terms, tiling, rows, columns, partial_first, partial_second);
  if (error != cudaSuccess || !split) return error;
  const ReduceTiling joining = TileJoining(tiling.splits, columns);
  const PartialSums<W> partial{partial_first, partial_second, columns};
  return LaunchKernel(ColumnSumsKernel<1, W, PartialSums<W>>,
                      dim3(static_cast<unsigned>(joining.blocks)), dim3(kReduceThreads), stream,
                      partial, joining, tiling.splits, columns, first, second);
}

// Treats every element by itself; `Body` is a value with
//   template <int N> struct OfColumns;  // made of (body, column): what a thread keeps
//   template <int N> __device__ void At(const OfColumns<N>&, int64_t row, int64_t column) const;
template <int N, typename Body>
__global__ void __launch_bounds__(kReduceThreads)
    ColumnMapKernel(Body body, int outputs, int64_t blocks_across, int64_t rows, int64_t columns) {
  const int64_t column =
      (blockIdx.x % blocks_across * outputs + threadIdx.x % outputs) * static_cast<int64_t>(N);
  if (column >= columns) return;
  const typename Body::template OfColumns<N> of(body, column);
  const int lanes = kReduceThreads / outputs;
  const int64_t step = gridDim.x / blocks_across * lanes;
  for (int64_t row = blockIdx.x / blocks_across * lanes + threadIdx.x / outputs; row < rows;
       row += step) {
    body.template At<N>(of, row, column);
  }
}

template <int N, typename Body>
cudaError_t LaunchColumnMap(const Body& body, int64_t rows, int64_t columns, bool aligned,
                            cudaStream_t stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  const bool in_packs = aligned && columns % N == 0;
  const int64_t packs = in_packs ? columns / N : columns;
  const int outputs = static_cast<int>(std::min<int64_t>(PowerOfTwoFrom(packs), 32));
  const int64_t across = CeilDivide(packs, outputs);
  // A thread treats four rows at least, so that what it keeps pays.
  const int64_t down = std::max<int64_t>(
      std::min(CeilDivide(rows, int64_t{4} * (kReduceThreads / outputs)), 4096 / across), 1);
  return LaunchKernel(in_packs ? ColumnMapKernel<N, Body> : ColumnMapKernel<1, Body>,
                      dim3(static_cast<unsigned>(across * down)), dim3(kReduceThreads), stream,
                      body, outputs, across, rows, columns);
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_COLUMNS_CUH_
