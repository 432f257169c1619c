#include <cmath>

#include "cuda/kernels/dropout.h"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/philox.cuh"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

template <typename T>
struct DropoutBody {
  const T* x;
  T* y;
  uint64_t seed;
  uint64_t random_stream;
  uint64_t threshold;  // words below it drop
  Work<T> scale;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    Work<T> values[N];
    LoadWork<N>(x + i, values);
    uint4 words = {};
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const int word = static_cast<int>((i + k) & 3);
      if (k == 0 || word == 0) {
        words = DevicePhilox(seed, random_stream, static_cast<uint64_t>(i + k) >> 2);
      }
      const uint32_t number = word == 0   ? words.x
                              : word == 1 ? words.y
                              : word == 2 ? words.z
                                          : words.w;
      values[k] = number >= threshold ? values[k] * scale : Work<T>(0);
    }
    StoreWork<N>(y + i, values, add);
  }
};

}  // namespace

cudaError_t LaunchDropout(const void* x, double rate, uint64_t seed, uint64_t random_stream,
                          int64_t count, DType dtype, Write write, void* y, cudaStream_t stream) {
  // An integer is at least rate * 2^32 where it is at least that rounded up; no rounding else.
  const uint64_t threshold = static_cast<uint64_t>(std::ceil(rate * 0x1p32));
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const DropoutBody<T> body{static_cast<const T*>(x),
                              static_cast<T*>(y),
                              seed,
                              random_stream,
                              threshold,
                              static_cast<Work<T>>(1 / (1 - rate)),
                              write == Write::kAdd};
    // At least four, so that all words of a counter are used.
    constexpr int kNeighbours = kPack<T> < 4 ? 4 : kPack<T>;
    return LaunchMap<kNeighbours>(body, count, AlignedForPacks(x, y), stream);
  });
}

}  // namespace parley
