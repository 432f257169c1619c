#ifndef PARLEY_CUDA_KERNELS_WINDOW_LOOP_CUH_
#define PARLEY_CUDA_KERNELS_WINDOW_LOOP_CUH_

#include <algorithm>
#include <cstdint>

#include "cuda/kernels/divisor.h"
#include "cuda/kernels/image.h"

namespace parley {

// Images, a window, and its outputs, as kernels take them. Index is uint32_t where all elements are
// below 2^31.
template <typename Index>
struct WindowLoop {
  WindowLoop(const ImageShape& image, const Window& window)
      : height(static_cast<int>(image.height)),
        width(static_cast<int>(image.width)),
        out_height(static_cast<int>(window.OutputHeight(image.height))),
        out_width(static_cast<int>(window.OutputWidth(image.width))),
        window_height(static_cast<int>(window.height)),
        window_width(static_cast<int>(window.width)),
        stride(static_cast<int>(window.stride)),
        padding(static_cast<int>(window.padding)),
        by_channels(image.channels),
        by_width(image.width),
        by_height(image.height),
        by_out_width(out_width),
        by_out_height(out_height) {}

  // Where an element is.
  struct Place {
    Index batch;
    int row;
    int column;
    Index channel;
  };

  __device__ __forceinline__ Place InImages(Index i) const { return Split(i, by_width, by_height); }
  __device__ __forceinline__ Place InOutputs(Index i) const {
    return Split(i, by_out_width, by_out_height);
  }
  __device__ __forceinline__ Index ImageIndex(Index batch, int row, int column,
                                              Index channel) const {
    return ((batch * height + row) * width + column) * by_channels.divisor() + channel;
  }
  __device__ __forceinline__ Index OutputIndex(Index batch, int row, int column,
                                               Index channel) const {
    return ((batch * out_height + row) * out_width + column) * by_channels.divisor() + channel;
  }

  // The outputs, rows and columns, [first, last], whose window covers `place` of the image; none
  // where last < first.
  struct Cover {
    int first_row, last_row, first_column, last_column;
  };
  __device__ __forceinline__ Cover CoverOf(const Place& place) const {
    const int row = place.row + padding, column = place.column + padding;
    return {row < window_height ? 0 : (row - window_height) / stride + 1,
            min(row / stride, out_height - 1),
            column < window_width ? 0 : (column - window_width) / stride + 1,
            min(column / stride, out_width - 1)};
  }

  int height, width, out_height, out_width;
  int window_height, window_width, stride, padding;
  Divisor<Index> by_channels, by_width, by_height, by_out_width, by_out_height;

 private:
  __device__ __forceinline__ Place Split(Index i, const Divisor<Index>& across,
                                         const Divisor<Index>& down) const {
    const Index pixel = by_channels.Quotient(i);
    const Index line = across.Quotient(pixel);
    const Index image = down.Quotient(line);
    return {image, static_cast<int>(line - image * down.divisor()),
            static_cast<int>(pixel - line * across.divisor()), i - pixel * by_channels.divisor()};
  }
};

// Whether there is anything to do, and it can be done: sides of images, and of padding, that are an
// int.
inline bool FitsKernels(const ImageShape& image, const Window& window) {
  constexpr int64_t kLargest = int64_t{1} << 30;
  return image.height <= kLargest && image.width <= kLargest && window.padding <= kLargest &&
         window.height <= kLargest && window.width <= kLargest && window.stride <= kLargest &&
         window.Fits(image.height, image.width);
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_WINDOW_LOOP_CUH_
