#include "tensor/cpu_max_pool2d.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "glog/logging.h"

namespace parley {
namespace {

// One window's candidate against the best so far, for all channels of a pixel.
void Compete(const float* __restrict in, int32_t place, int64_t channels, float* __restrict best,
             int32_t* __restrict argmax) {
  for (int64_t c = 0; c < channels; ++c) {
    const bool wins = in[c] > best[c] || in[c] != in[c];
    best[c] = wins ? in[c] : best[c];
    argmax[c] = wins ? place + static_cast<int32_t>(c) : argmax[c];
  }
}

}  // namespace

void CpuMaxPool2d(const Tensor& x, const Window& window, const Tensor& y, const Tensor& argmax) {
  const int64_t height = x.shape()[1], width = x.shape()[2], channels = x.shape()[3];
  const int64_t out_height = window.OutputHeight(height), out_width = window.OutputWidth(width);
  CHECK(window.Fits(height, width) && window.padding < std::min(window.height, window.width));
  CHECK(y.shape() == (Shape{x.shape()[0], out_height, out_width, channels}))
      << y.shape().ToString();
  CHECK_EQ(argmax.num_elements(), y.num_elements());
  CHECK_LE(x.num_elements(), std::numeric_limits<int32_t>::max());
  float* best = y.data();
  int32_t* places = argmax.int_data();
  for (int64_t image = 0; image < x.shape()[0]; ++image) {
    for (int64_t oy = 0; oy < out_height; ++oy) {
      const int64_t top = oy * window.stride - window.padding;
      for (int64_t ox = 0; ox < out_width; ++ox, best += channels, places += channels) {
        const int64_t left = ox * window.stride - window.padding;
        const int64_t first_row = std::max<int64_t>(0, top);
        const int64_t first_col = std::max<int64_t>(0, left);
        const auto place_of = [&](int64_t row, int64_t col) {
          return ((image * height + row) * width + col) * channels;
        };
        // The first pixel is there, as padding is narrower than the window, and leads for now.
        const int64_t first = place_of(first_row, first_col);
        std::copy(x.data() + first, x.data() + first + channels, best);
        std::iota(places, places + channels, static_cast<int32_t>(first));
        for (int64_t row = first_row; row < std::min(height, top + window.height); ++row) {
          for (int64_t col = first_col; col < std::min(width, left + window.width); ++col) {
            const int64_t place = place_of(row, col);
            Compete(x.data() + place, static_cast<int32_t>(place), channels, best, places);
          }
        }
      }
    }
  }
}

void CpuMaxPool2dGradient(const Tensor& dy, const Tensor& argmax, Write write, const Tensor& dx) {
  CHECK_EQ(argmax.num_elements(), dy.num_elements());
  if (write == Write::kReplace) std::fill(dx.data(), dx.data() + dx.num_elements(), 0.0f);
  const int32_t* places = argmax.int_data();
  const float* in = dy.data();
  for (int64_t i = 0; i < dy.num_elements(); ++i) dx.data()[places[i]] += in[i];
}

}  // namespace parley
