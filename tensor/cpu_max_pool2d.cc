#include "tensor/cpu_max_pool2d.h"

#include <algorithm>
#include <limits>

#include "glog/logging.h"

namespace parley {
namespace {

// One window's candidate against the best so far, for all channels of a pixel.
void Compete(const float* __restrict in, int32_t place, int64_t channels, float* __restrict best,
             int32_t* __restrict argmax) {
  for (int64_t c = 0; c < channels; ++c) {
    const bool wins = in[c] > best[c];
    best[c] = wins ? in[c] : best[c];
    argmax[c] = wins ? place + static_cast<int32_t>(c) : argmax[c];
  }
}

}  // namespace

void CpuMaxPool2d(const Tensor& x, const Window& window, const Tensor& y, const Tensor& argmax) {
  const int64_t height = x.shape()[1], width = x.shape()[2], channels = x.shape()[3];
  const int64_t out_height = window.OutputHeight(height), out_width = window.OutputWidth(width);
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
        std::fill(best, best + channels, -std::numeric_limits<float>::infinity());
        std::fill(places, places + channels, -1);
        for (int64_t row = std::max<int64_t>(0, top); row < std::min(height, top + window.height);
             ++row) {
          for (int64_t col = std::max<int64_t>(0, left); col < std::min(width, left + window.width);
               ++col) {
            const int64_t place = ((image * height + row) * width + col) * channels;
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
  for (int64_t i = 0; i < dy.num_elements(); ++i) {
    // -1: nothing in the window was larger than minus infinity (all NaN).
    if (places[i] >= 0) dx.data()[places[i]] += in[i];
  }
}

}  // namespace parley
