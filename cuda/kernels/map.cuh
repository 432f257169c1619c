#ifndef PARLEY_CUDA_KERNELS_MAP_CUH_
#define PARLEY_CUDA_KERNELS_MAP_CUH_

#include <algorithm>
#include <cstdint>

#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiling.h"

namespace parley {

// Kernels that treat every element by itself. A Body is a value with
//   template <int N> __device__ void At(int64_t i) const;
// that treats elements i to i + N - 1, where i is a multiple of N.

constexpr int kMapThreads = 256;
// Enough to fill any device several times; the rest is looped over.
constexpr int64_t kMaxMapBlocks = 4096;

// The first `packs` packs of N, and the rest one by one.
template <int N, typename Body>
__global__ void __launch_bounds__(kMapThreads) MapKernel(Body body, int64_t packs, int64_t count) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kMapThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kMapThreads;
  for (int64_t pack = thread; pack < packs; pack += step) body.template At<N>(pack * N);
  if constexpr (N > 1) {
    for (int64_t i = packs * N + thread; i < count; i += step) body.template At<1>(i);
  }
}

// By packs of N where `in_packs`, else one by one.
template <int N, typename Body>
cudaError_t LaunchMap(const Body& body, int64_t count, bool in_packs, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  const int64_t packs = in_packs || N == 1 ? count / N : 0;
  const int64_t blocks =
      std::min(CeilDivide(std::max(packs, count - packs * N), kMapThreads), kMaxMapBlocks);
  return LaunchKernel(MapKernel<N, Body>, dim3(static_cast<unsigned>(blocks)), dim3(kMapThreads),
                      stream, body, packs, count);
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_MAP_CUH_
