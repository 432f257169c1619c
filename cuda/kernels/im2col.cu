#include "cuda/kernels/im2col.h"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/types.cuh"
#include "cuda/kernels/window_loop.cuh"

namespace parley {
namespace {

// Elements are moved as words; all bodies treat N neighbouring channels at once.
template <typename Word, typename Index>
struct Im2colBody {
  WindowLoop<Index> loop;
  Divisor<Index> by_window_height;
  Divisor<Index> by_window_width;
  const Word* x;
  Word* patches;

  template <int N>
  __device__ void At(int64_t i) const {
    // patches are [batch, out row, out column, window row, window column, channel].
    const Index cell = loop.by_channels.Quotient(static_cast<Index>(i));
    const Index channel = static_cast<Index>(i) - cell * loop.by_channels.divisor();
    const Index line = by_window_width.Quotient(cell);
    const Index pixel = by_window_height.Quotient(line);
    const Index out_line = loop.by_out_width.Quotient(pixel);
    const Index batch = loop.by_out_height.Quotient(out_line);
    const int window_column = static_cast<int>(cell - line * by_window_width.divisor());
    const int window_row = static_cast<int>(line - pixel * by_window_height.divisor());
    const int out_column = static_cast<int>(pixel - out_line * loop.by_out_width.divisor());
    const int out_row = static_cast<int>(out_line - batch * loop.by_out_height.divisor());
    const int row = out_row * loop.stride - loop.padding + window_row;
    const int column = out_column * loop.stride - loop.padding + window_column;
    Pack<Word, N> pack = {};
    if (row >= 0 && row < loop.height && column >= 0 && column < loop.width) {
      pack =
          *reinterpret_cast<const Pack<Word, N>*>(x + loop.ImageIndex(batch, row, column, channel));
    }
    *reinterpret_cast<Pack<Word, N>*>(patches + i) = pack;
  }
};

template <typename T, typename Index>
struct Col2imBody {
  WindowLoop<Index> loop;
  const Work<T>* dpatches;
  T* dx;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    const auto place = loop.InImages(static_cast<Index>(i));
    const auto cover = loop.CoverOf(place);
    const Index channels = loop.by_channels.divisor();
    Work<T> sums[N] = {};
    for (int out_row = cover.first_row; out_row <= cover.last_row; ++out_row) {
      const int row = place.row + loop.padding - out_row * loop.stride;
      for (int out_column = cover.first_column; out_column <= cover.last_column; ++out_column) {
        const int column = place.column + loop.padding - out_column * loop.stride;
        const Index pixel = (place.batch * loop.out_height + out_row) * loop.out_width + out_column;
        const Index cell = (pixel * loop.window_height + row) * loop.window_width + column;
        Work<T> values[N];
        LoadWork<N>(dpatches + cell * channels + place.channel, values);
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k] += values[k];
      }
    }
    StoreWork<N>(dx + i, sums, add);
  }
};

int64_t PatchElements(const ImageShape& image, const Window& window) {
  return image.output_pixels(window) * window.height * window.width * image.channels;
}

template <typename Word>
cudaError_t Im2col(const void* x, const ImageShape& image, const Window& window, void* patches,
                   cudaStream_t stream) {
  const int64_t count = PatchElements(image, window);
  return WithIndexBelow(std::max(count, image.elements()), [&](auto index_tag) {
    using Index = typename decltype(index_tag)::Type;
    const Im2colBody<Word, Index> body{WindowLoop<Index>(image, window),
                                       Divisor<Index>(window.height), Divisor<Index>(window.width),
                                       static_cast<const Word*>(x), static_cast<Word*>(patches)};
    const bool in_packs = image.channels % kPack<Word> == 0 && AlignedForPacks(x, patches);
    return LaunchMap<kPack<Word>>(body, count, in_packs, stream);
  });
}

}  // namespace

cudaError_t LaunchIm2col(const void* x, const ImageShape& image, const Window& window, DType dtype,
                         void* patches, cudaStream_t stream) {
  if (!FitsKernels(image, window)) return cudaErrorInvalidValue;
  if (PatchElements(image, window) == 0) return cudaSuccess;
  switch (SizeOf(dtype)) {
    case 2:
      return Im2col<uint16_t>(x, image, window, patches, stream);
    case 4:
      return Im2col<uint32_t>(x, image, window, patches, stream);
    case 8:
      return Im2col<uint64_t>(x, image, window, patches, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t LaunchCol2im(const void* dpatches, const ImageShape& image, const Window& window,
                         DType dtype, Write write, void* dx, cudaStream_t stream) {
  if (!FitsKernels(image, window)) return cudaErrorInvalidValue;
  if (image.elements() == 0) return cudaSuccess;
  const int64_t bound = std::max(PatchElements(image, window), image.elements());
  return WithFloatingType(dtype, [&](auto tag) {
    return WithIndexBelow(bound, [&](auto index_tag) {
      using T = typename decltype(tag)::Type;
      using Index = typename decltype(index_tag)::Type;
      const Col2imBody<T, Index> body{WindowLoop<Index>(image, window),
                                      static_cast<const Work<T>*>(dpatches), static_cast<T*>(dx),
                                      write == Write::kAdd};
      const bool in_packs = image.channels % kPack<T> == 0 && AlignedForPacks(dpatches, dx);
      return LaunchMap<kPack<T>>(body, image.elements(), in_packs, stream);
    });
  });
}

}  // namespace parley
