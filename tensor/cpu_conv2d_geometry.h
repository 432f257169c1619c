#ifndef PARLEY_TENSOR_CPU_CONV2D_GEOMETRY_H_
#define PARLEY_TENSOR_CPU_CONV2D_GEOMETRY_H_

#include <algorithm>
#include <cstdint>

#include "glog/logging.h"
#include "tensor/ops.h"
#include "tensor/shape.h"

namespace parley {

// Which pixels of an image which part of a convolution's window meets.

// An interval of indices.
struct IndexRange {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
  bool operator==(const IndexRange& other) const {
    return begin == other.begin && end == other.end;
  }
};

// How taps slide along one dimension: place i of the output sees inputs i * stride + start + tap.
struct TapSlide {
  int64_t in, out, taps, stride, start;

  int64_t FirstInput(int64_t place) const { return place * stride + start; }
  // Those taps that find an input there; {0, 0} if none does.
  IndexRange TapsAt(int64_t place) const {
    const IndexRange range = {std::clamp<int64_t>(-FirstInput(place), 0, taps),
                              std::clamp<int64_t>(in - FirstInput(place), 0, taps)};
    return range.begin < range.end ? range : IndexRange{0, 0};
  }
  // Those places where a tap finds an input.
  IndexRange PlacesOf(int64_t tap) const {
    const int64_t first = start + tap;              // input of place 0
    const auto places_below = [&](int64_t input) {  // places that see an input before this one
      return std::clamp<int64_t>((input - first + stride - 1) / stride, 0, out);
    };
    const IndexRange range = {first >= 0 ? 0 : places_below(0), in <= first ? 0 : places_below(in)};
    return range.begin < range.end ? range : IndexRange{0, 0};
  }
};

// The sizes of one convolution.
struct Conv2dSizes {
  Conv2dSizes(const Shape& x, const Shape& filter, const Window& w, const Shape& y)
      : window(w),
        batch(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        out_height(w.OutputHeight(height)),
        out_width(w.OutputWidth(width)),
        out_channels(filter[3]) {
    CHECK(w.Fits(height, width));
    CHECK(filter == (Shape{w.height, w.width, channels, out_channels})) << filter.ToString();
    CHECK(y == (Shape{batch, out_height, out_width, out_channels})) << y.ToString();
  }

  int64_t image() const { return height * width * channels; }
  int64_t out_image() const { return out_height * out_width * out_channels; }
  TapSlide vertical() const {
    return {height, out_height, window.height, window.stride, -window.padding};
  }
  TapSlide horizontal() const {
    return {width, out_width, window.width, window.stride, -window.padding};
  }

  const Window window;
  const int64_t batch, height, width, channels, out_height, out_width, out_channels;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_CONV2D_GEOMETRY_H_
