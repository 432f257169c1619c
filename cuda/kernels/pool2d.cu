#include "cuda/kernels/map.cuh"
#include "cuda/kernels/pool2d.h"
#include "cuda/kernels/types.cuh"
#include "cuda/kernels/window_loop.cuh"

namespace parley {
namespace {

// All bodies treat N neighbouring channels of one pixel at once.
template <typename T, typename Index>
struct MaxPoolBody {
  WindowLoop<Index> loop;
  const T* x;
  T* y;
  int32_t* argmax;

  template <int N>
  __device__ void At(int64_t i) const {
    const auto place = loop.InOutputs(static_cast<Index>(i));
    const int top = place.row * loop.stride - loop.padding;
    const int left = place.column * loop.stride - loop.padding;
    const int first_row = max(top, 0), first_column = max(left, 0);
    const int end_row = min(top + loop.window_height, loop.height);
    const int end_column = min(left + loop.window_width, loop.width);
    Work<T> best[N];
    Pack<int32_t, N> where;
    // The first pixel is there, as padding is narrower than the window, and leads for now.
#pragma unroll
    for (int k = 0; k < N; ++k) {
      best[k] = -static_cast<Work<T>>(INFINITY);
      where.v[k] = first_row * loop.width + first_column;
    }
    for (int row = first_row; row < end_row; ++row) {
      for (int column = first_column; column < end_column; ++column) {
        Work<T> values[N];
        LoadWork<N>(x + loop.ImageIndex(place.batch, row, column, place.channel), values);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          // A NaN wins once, and then stays.
          if (values[k] > best[k] || (values[k] != values[k] && best[k] == best[k])) {
            best[k] = values[k];
            where.v[k] = row * loop.width + column;
          }
        }
      }
    }
    StoreWork<N>(y + i, best, false);
    *reinterpret_cast<Pack<int32_t, N>*>(argmax + i) = where;
  }
};

template <typename T, typename Index>
struct MaxPoolGradientBody {
  WindowLoop<Index> loop;
  const T* dy;
  const int32_t* argmax;
  T* dx;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    const auto place = loop.InImages(static_cast<Index>(i));
    const auto cover = loop.CoverOf(place);
    const int32_t here = place.row * loop.width + place.column;
    Work<T> sums[N] = {};
    for (int row = cover.first_row; row <= cover.last_row; ++row) {
      for (int column = cover.first_column; column <= cover.last_column; ++column) {
        const Index output = loop.OutputIndex(place.batch, row, column, place.channel);
        const auto where = *reinterpret_cast<const Pack<int32_t, N>*>(argmax + output);
        Work<T> gradients[N];
        LoadWork<N>(dy + output, gradients);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          if (where.v[k] == here) sums[k] += gradients[k];
        }
      }
    }
    StoreWork<N>(dx + i, sums, add);
  }
};

template <typename T, typename Index>
struct AvgPoolBody {
  WindowLoop<Index> loop;
  const T* x;
  T* y;

  template <int N>
  __device__ void At(int64_t i) const {
    const auto place = loop.InOutputs(static_cast<Index>(i));
    const int top = place.row * loop.stride - loop.padding;
    const int left = place.column * loop.stride - loop.padding;
    const int end_row = min(top + loop.window_height, loop.height);
    const int end_column = min(left + loop.window_width, loop.width);
    Work<T> sums[N] = {};
    for (int row = max(top, 0); row < end_row; ++row) {
      for (int column = max(left, 0); column < end_column; ++column) {
        Work<T> values[N];
        LoadWork<N>(x + loop.ImageIndex(place.batch, row, column, place.channel), values);
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k] += values[k];
      }
    }
    const Work<T> size = static_cast<Work<T>>(loop.window_height) * loop.window_width;
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] /= size;
    StoreWork<N>(y + i, sums, false);
  }
};

template <typename T, typename Index>
struct AvgPoolGradientBody {
  WindowLoop<Index> loop;
  const T* dy;
  T* dx;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    const auto place = loop.InImages(static_cast<Index>(i));
    const auto cover = loop.CoverOf(place);
    Work<T> sums[N] = {};
    for (int row = cover.first_row; row <= cover.last_row; ++row) {
      for (int column = cover.first_column; column <= cover.last_column; ++column) {
        Work<T> gradients[N];
        LoadWork<N>(dy + loop.OutputIndex(place.batch, row, column, place.channel), gradients);
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k] += gradients[k];
      }
    }
    const Work<T> size = static_cast<Work<T>>(loop.window_height) * loop.window_width;
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] /= size;
    StoreWork<N>(dx + i, sums, add);
  }
};

// launch(TypeTag<T>(), WindowLoop<Index>) for the types that fit.
template <typename Function>
cudaError_t WithLoop(const ImageShape& image, const Window& window, DType dtype, Function launch) {
  if (!FitsKernels(image, window)) return cudaErrorInvalidValue;
  const int64_t bound = std::max(image.elements(), image.output_pixels(window) * image.channels);
  if (bound == 0) return cudaSuccess;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithIndexBelow(bound, [&](auto index_tag) {
      using Index = typename decltype(index_tag)::Type;
      return launch(tag, WindowLoop<Index>(image, window));
    });
  });
}

}  // namespace

cudaError_t LaunchMaxPool2d(const void* x, const ImageShape& image, const Window& window,
                            DType dtype, void* y, int32_t* argmax, cudaStream_t stream) {
  return WithLoop(image, window, dtype, [&](auto tag, auto loop) {
    using T = typename decltype(tag)::Type;
    const MaxPoolBody<T, decltype(loop.by_width.divisor())> body{loop, static_cast<const T*>(x),
                                                                 static_cast<T*>(y), argmax};
    const bool in_packs = image.channels % kPack<T> == 0 && AlignedForPacks(x, y, argmax);
    return LaunchMap<kPack<T>>(body, image.output_pixels(window) * image.channels, in_packs,
                               stream);
  });
}

cudaError_t LaunchMaxPool2dGradient(const void* dy, const int32_t* argmax, const ImageShape& image,
                                    const Window& window, DType dtype, Write write, void* dx,
                                    cudaStream_t stream) {
  return WithLoop(image, window, dtype, [&](auto tag, auto loop) {
    using T = typename decltype(tag)::Type;
    const MaxPoolGradientBody<T, decltype(loop.by_width.divisor())> body{
        loop, static_cast<const T*>(dy), argmax, static_cast<T*>(dx), write == Write::kAdd};
    const bool in_packs = image.channels % kPack<T> == 0 && AlignedForPacks(dy, argmax, dx);
    return LaunchMap<kPack<T>>(body, image.elements(), in_packs, stream);
  });
}

cudaError_t LaunchAvgPool2d(const void* x, const ImageShape& image, const Window& window,
                            DType dtype, void* y, cudaStream_t stream) {
  return WithLoop(image, window, dtype, [&](auto tag, auto loop) {
    using T = typename decltype(tag)::Type;
    const AvgPoolBody<T, decltype(loop.by_width.divisor())> body{loop, static_cast<const T*>(x),
                                                                 static_cast<T*>(y)};
    const bool in_packs = image.channels % kPack<T> == 0 && AlignedForPacks(x, y);
    return LaunchMap<kPack<T>>(body, image.output_pixels(window) * image.channels, in_packs,
                               stream);
  });
}

cudaError_t LaunchAvgPool2dGradient(const void* dy, const ImageShape& image, const Window& window,
                                    DType dtype, Write write, void* dx, cudaStream_t stream) {
  return WithLoop(image, window, dtype, [&](auto tag, auto loop) {
    using T = typename decltype(tag)::Type;
    const AvgPoolGradientBody<T, decltype(loop.by_width.divisor())> body{
        loop, static_cast<const T*>(dy), static_cast<T*>(dx), write == Write::kAdd};
    const bool in_packs = image.channels % kPack<T> == 0 && AlignedForPacks(dy, dx);
    return LaunchMap<kPack<T>>(body, image.elements(), in_packs, stream);
  });
}

}  // namespace parley
