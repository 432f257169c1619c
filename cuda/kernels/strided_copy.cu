#include <utility>

#include "cuda/kernels/device_loop.cuh"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/strided_copy.h"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

constexpr int kTile = 32;
constexpr int kTileRows = 8;

template <typename T, bool kAdd>
__device__ __forceinline__ void CopyTo(T* to, T value) {
  if constexpr (kAdd) {
    *to = Convert<T>(ToWork(*to) + ToWork(value));
  } else {
    *to = value;
  }
}

// Of array 0 of the loop to array 1.
template <typename T, bool kAdd, typename Index>
struct CopyBody {
  DeviceLoop<Index> loop;
  const T* from;
  T* to;

  template <int N>
  __device__ void At(int64_t i) const {
    static_assert(N == 1, "neighbours are joined into a wider T");
    Index places[StridedLoop::kMaxArrays];
    loop.Places(static_cast<Index>(i), places);
    CopyTo<T, kAdd>(to + places[1], from[places[0]]);
  }
};

// Transposes tiles through shared memory, so that reads and writes both are of neighbours.
// Dimension `from_inner` has stride 1 in the input, the last one in the output.
template <typename T, bool kAdd>
__global__ void __launch_bounds__(kTile* kTileRows)
    TransposeKernel(StridedLoop loop, int from_inner, const T* from, T* to) {
  __shared__ T tile[kTile][kTile + 1];
  const int to_inner = loop.rank - 1;
  const int64_t width = loop.extents[from_inner], height = loop.extents[to_inner];
  const int64_t across = (width + kTile - 1) / kTile, down = (height + kTile - 1) / kTile;
  int64_t rest = blockIdx.x;
  const int64_t left = rest % across * kTile;
  rest /= across;
  const int64_t top = rest % down * kTile;
  rest /= down;
  for (int d = loop.rank - 1; d >= 0; --d) {
    if (d == from_inner || d == to_inner) continue;
    from += rest % loop.extents[d] * loop.strides[0][d];
    to += rest % loop.extents[d] * loop.strides[1][d];
    rest /= loop.extents[d];
  }
  const int64_t from_stride = loop.strides[0][to_inner], to_stride = loop.strides[1][from_inner];
  const int64_t read_column = left + threadIdx.x;
  for (int row = threadIdx.y; row < kTile; row += kTileRows) {
    if (read_column < width && top + row < height) {
      tile[row][threadIdx.x] = from[(top + row) * from_stride + read_column];
    }
  }
  __syncthreads();
  const int64_t write_column = top + threadIdx.x;
  for (int row = threadIdx.y; row < kTile; row += kTileRows) {
    if (write_column < height && left + row < width) {
      CopyTo<T, kAdd>(to + (left + row) * to_stride + write_column, tile[threadIdx.x][row]);
    }
  }
}

// The dimension that has stride 1 in the input, if it is not the last, which has it in the output,
// and both are long enough for tiles; else -1.
int TransposedDimension(const StridedLoop& loop) {
  const int inner = loop.rank - 1;
  if (loop.strides[1][inner] != 1 || loop.strides[0][inner] == 1 || loop.extents[inner] < 8) {
    return -1;
  }
  for (int d = 0; d < inner; ++d) {
    if (loop.strides[0][d] == 1 && loop.extents[d] >= 8) return d;
  }
  return -1;
}

template <typename T, bool kAdd>
cudaError_t CopyElements(const StridedLoop& loop, const void* from, void* to, cudaStream_t stream) {
  const T* source = static_cast<const T*>(from) + loop.offsets[0];
  T* target = static_cast<T*>(to) + loop.offsets[1];
  const int64_t count = loop.count();
  const int from_inner = TransposedDimension(loop);
  if (from_inner >= 0) {
    const int64_t width = loop.extents[from_inner], height = loop.extents[loop.rank - 1];
    const int64_t tiles =
        count / (width * height) * CeilDivide(width, kTile) * CeilDivide(height, kTile);
    if (tiles < int64_t{1} << 31) {
      return LaunchKernel(TransposeKernel<T, kAdd>, dim3(static_cast<unsigned>(tiles)),
                          dim3(kTile, kTileRows), stream, loop, from_inner, source, target);
    }
  }
  return WithIndexBelow(BoundOf(loop), [&](auto index_tag) {
    using Index = typename decltype(index_tag)::Type;
    const CopyBody<T, kAdd, Index> body{DeviceLoop<Index>(loop), source, target};
    return LaunchMap<1>(body, count, false, stream);
  });
}

// Moves whole words, as wide as strides and addresses allow.
cudaError_t CopyWords(const StridedLoop& loop, int64_t element_size, const void* from, void* to,
                      cudaStream_t stream) {
  int64_t neighbours = JoinableNeighbours(loop, 16 / element_size);
  const uintptr_t addresses = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to);
  while (neighbours > 1 && addresses % static_cast<uintptr_t>(neighbours * element_size) != 0) {
    neighbours /= 2;
  }
  const StridedLoop units = InUnitsOf(neighbours, loop);
  switch (neighbours * element_size) {
    case 2:
      return CopyElements<uint16_t, false>(units, from, to, stream);
    case 4:
      return CopyElements<uint32_t, false>(units, from, to, stream);
    case 8:
      return CopyElements<uint64_t, false>(units, from, to, stream);
    case 16:
      return CopyElements<uint4, false>(units, from, to, stream);
  }
  return cudaErrorInvalidValue;
}

// Array 0 of the loop is `from`, array 1 `to`.
cudaError_t Copy(const StridedLoop& loop, DType dtype, Write write, const void* from, void* to,
                 cudaStream_t stream) {
  if (loop.count() == 0) return cudaSuccess;
  if (write == Write::kReplace) {
    return CopyWords(loop, static_cast<int64_t>(SizeOf(dtype)), from, to, stream);
  }
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    return CopyElements<T, true>(loop, from, to, stream);
  });
}

}  // namespace

cudaError_t LaunchPermute(const void* x, const Extents& x_extents, const std::vector<int>& axes,
                          DType dtype, Write write, void* out, cudaStream_t stream) {
  StridedLoop loop;
  if (!PlanPermute(x_extents, axes, &loop)) return cudaErrorInvalidValue;
  return Copy(loop, dtype, write, x, out, stream);
}

cudaError_t LaunchReadSlice(const void* x, const Extents& x_extents, const Extents& begin,
                            DType dtype, Write write, void* out, const Extents& out_extents,
                            cudaStream_t stream) {
  StridedLoop loop;
  if (!PlanSlice(x_extents, begin, out_extents, &loop)) return cudaErrorInvalidValue;
  std::swap(loop.strides[0], loop.strides[1]);
  std::swap(loop.offsets[0], loop.offsets[1]);
  return Copy(loop, dtype, write, x, out, stream);
}

cudaError_t LaunchWriteSlice(const void* x, const Extents& x_extents, const Extents& begin,
                             DType dtype, Write write, void* out, const Extents& out_extents,
                             cudaStream_t stream) {
  StridedLoop loop;
  if (!PlanSlice(out_extents, begin, x_extents, &loop)) return cudaErrorInvalidValue;
  return Copy(loop, dtype, write, x, out, stream);
}

}  // namespace parley
