#include <algorithm>

#include "cuda/kernels/cast_many.h"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiling.h"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

constexpr int kThreads = 256;
// Of one array, by one block: all of its neighbours in one launch share a table of arrays that fits
// into a kernel's 4 KiB of arguments.
constexpr int64_t kBlockElements = 16384;
constexpr int kItemsOfLaunch = 96;

struct CastTable {
  int items = 0;
  CastItem item[kItemsOfLaunch];
  // Blocks of items before each.
  int64_t first_block[kItemsOfLaunch + 1] = {0};
};
static_assert(sizeof(CastTable) <= 4000, "a kernel takes 4 KiB of arguments");

template <int N, typename From, typename To>
__device__ __forceinline__ void CastPack(const From* from, To* to) {
  const Pack<From, N> in = *reinterpret_cast<const Pack<From, N>*>(from);
  Pack<To, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.v[k] = Convert<To>(in.v[k]);
  *reinterpret_cast<Pack<To, N>*>(to) = out;
}

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) CastManyKernel(CastTable table) {
  constexpr int kNeighbours = kPack < From >> kPack<To> ? kPack<From> : kPack<To>;
  const int64_t block = blockIdx.x;
  // The last item that begins at or before this block.
  int low = 0, high = table.items - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (table.first_block[middle] <= block) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const CastItem& item = table.item[low];
  const int64_t begin = (block - table.first_block[low]) * kBlockElements;
  const int64_t count = min(kBlockElements, item.count - begin);
  const From* from = static_cast<const From*>(item.from) + begin;
  To* to = static_cast<To*>(item.to) + begin;
  int64_t in_packs = 0;
  if ((reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to)) % 16 == 0) {
    in_packs = count / kNeighbours * kNeighbours;
  }
  for (int64_t i = threadIdx.x * kNeighbours; i < in_packs; i += kThreads * kNeighbours) {
    CastPack<kNeighbours>(from + i, to + i);
  }
  for (int64_t i = in_packs + threadIdx.x; i < count; i += kThreads) CastPack<1>(from + i, to + i);
}

template <typename From, typename To>
cudaError_t CastMany(const std::vector<CastItem>& items, cudaStream_t stream) {
  CastTable table;
  const auto launch = [&] {
    if (table.items == 0) return cudaSuccess;
    const int64_t blocks = table.first_block[table.items];
    if (blocks >= int64_t{1} << 31) return cudaErrorInvalidValue;
    return LaunchKernel(CastManyKernel<From, To>, dim3(static_cast<unsigned>(blocks)),
                        dim3(kThreads), stream, table);
  };
  for (const CastItem& item : items) {
    if (item.count == 0) continue;
    if (table.items == kItemsOfLaunch) {
      const cudaError_t error = launch();
      if (error != cudaSuccess) return error;
      table.items = 0;
    }
    table.item[table.items] = item;
    table.first_block[table.items + 1] =
        table.first_block[table.items] + CeilDivide(item.count, kBlockElements);
    ++table.items;
  }
  return launch();
}

}  // namespace

cudaError_t LaunchCastMany(const std::vector<CastItem>& items, DType from, DType to,
                           cudaStream_t stream) {
  const DType narrow = from == DType::kFloat32 ? to : from;
  if (from != DType::kFloat32 && to != DType::kFloat32) return cudaErrorInvalidValue;
  switch (narrow) {
    case DType::kFloat32:
      return CastMany<float, float>(items, stream);
    case DType::kBFloat16:
      return from == narrow ? CastMany<__nv_bfloat16, float>(items, stream)
                            : CastMany<float, __nv_bfloat16>(items, stream);
    case DType::kFloat16:
      return from == narrow ? CastMany<__half, float>(items, stream)
                            : CastMany<float, __half>(items, stream);
    case DType::kFloat64:
    case DType::kInt32:
    case DType::kInt64:
      break;
  }
  return cudaErrorInvalidValue;
}

}  // namespace parley
