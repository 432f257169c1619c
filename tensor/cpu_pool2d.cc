#include "tensor/cpu_pool2d.h"

#include <algorithm>
#include <limits>

#include "glog/logging.h"
#include "tensor/cpu_wide_images.h"
#include "tensor/cpu_widen.h"

namespace parley {
namespace {

// The sizes of one pooling of x to y.
struct Geometry {
  Geometry(const Shape& x, const Window& w, const Shape& y)
      : window(w),
        batch(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        out_height(w.OutputHeight(height)),
        out_width(w.OutputWidth(width)) {
    CHECK(w.Fits(height, width));
    CHECK(y == (Shape{batch, out_height, out_width, channels})) << y.ToString();
  }

  int64_t image() const { return height * width * channels; }
  int64_t out_image() const { return out_height * out_width * channels; }

  const Window window;
  const int64_t batch, height, width, channels, out_height, out_width;
};

// visit(number of the output, place in the image) for each pixel of each window of an image, by
// output, then row and column.
template <typename Visit>
void ForEachPixel(const Geometry& g, Visit visit) {
  for (int64_t oy = 0; oy < g.out_height; ++oy) {
    const int64_t top = oy * g.window.stride - g.window.padding;
    const int64_t first_row = std::max<int64_t>(0, top);
    const int64_t last_row = std::min(g.height, top + g.window.height);
    for (int64_t ox = 0; ox < g.out_width; ++ox) {
      const int64_t left = ox * g.window.stride - g.window.padding;
      const int64_t first_column = std::max<int64_t>(0, left);
      const int64_t last_column = std::min(g.width, left + g.window.width);
      for (int64_t row = first_row; row < last_row; ++row) {
        for (int64_t column = first_column; column < last_column; ++column) {
          visit(oy * g.out_width + ox, row * g.width + column);
        }
      }
    }
  }
}

// One pixel against the best of its window so far, for all channels.
template <typename W>
void Compete(const W* __restrict in, int32_t place, int64_t channels, W* __restrict best,
             int32_t* __restrict argmax) {
  for (int64_t c = 0; c < channels; ++c) {
    const bool wins = in[c] > best[c] || in[c] != in[c];
    best[c] = wins ? in[c] : best[c];
    argmax[c] = wins ? place : argmax[c];
  }
}

template <typename W>
void AddWhere(const int32_t* __restrict argmax, int32_t place, int64_t channels,
              const W* __restrict dy, W* __restrict dx) {
  for (int64_t c = 0; c < channels; ++c) dx[c] += argmax[c] == place ? dy[c] : W(0);
}

template <typename W>
void AddScaled(W scale, int64_t channels, const W* __restrict in, W* __restrict out) {
  for (int64_t c = 0; c < channels; ++c) out[c] += scale * in[c];
}

// in and out are of one dtype; body(W* in image, W* out image, number of the image).
template <typename T, typename Body>
void ForEachImage(const Tensor& in, int64_t in_image, Write write, const Tensor& out,
                  int64_t out_image, int64_t batch, Body body) {
  using W = WorkType<T>;
  WideImages<T> from(in, in_image, 1);
  WideResults<T> to(out, out_image, 1, write);
  for (int64_t image = 0; image < batch; ++image) {
    W* const result = to.Begin(image);
    if (to.inner_write() == Write::kReplace) std::fill_n(result, out_image, W(0));
    body(from.Read(image, 1), result, image);
    to.Finish(image, 1);
  }
}

}  // namespace

void CpuMaxPool2d(const Tensor& x, const Window& window, const Tensor& y, const Tensor& argmax) {
  const Geometry g(x.shape(), window, y.shape());
  CHECK_LT(window.padding, std::min(window.height, window.width));
  CHECK(argmax.shape() == y.shape() && argmax.dtype() == DType::kInt32);
  CHECK(x.dtype() == y.dtype());
  CHECK_LE(g.height * g.width, std::numeric_limits<int32_t>::max());
  if (y.num_elements() == 0) return;
  WithFloatingType(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    ForEachImage<T>(x, g.image(), Write::kReplace, y, g.out_image(), g.batch,
                    [&](const W* in, W* best, int64_t image) {
                      int32_t* const places = argmax.As<int32_t>() + image * g.out_image();
                      int64_t last = -1;  // output
                      ForEachPixel(g, [&](int64_t output, int64_t place) {
                        const W* const pixel = in + place * g.channels;
                        const int64_t to = output * g.channels;
                        if (output == last) {
                          Compete(pixel, static_cast<int32_t>(place), g.channels, best + to,
                                  places + to);
                        } else {
                          std::copy_n(pixel, g.channels, best + to);
                          std::fill_n(places + to, g.channels, static_cast<int32_t>(place));
                          last = output;
                        }
                      });
                    });
  });
}

void CpuMaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window, Write write,
                          const Tensor& dx) {
  const Geometry g(dx.shape(), window, dy.shape());
  CHECK(argmax.shape() == dy.shape() && argmax.dtype() == DType::kInt32);
  CHECK(dx.dtype() == dy.dtype());
  if (dx.num_elements() == 0) return;
  WithFloatingType(dx.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    ForEachImage<T>(dy, g.out_image(), write, dx, g.image(), g.batch,
                    [&](const W* in, W* out, int64_t image) {
                      const int32_t* const places = argmax.As<int32_t>() + image * g.out_image();
                      ForEachPixel(g, [&](int64_t output, int64_t place) {
                        const int64_t from = output * g.channels;
                        AddWhere(places + from, static_cast<int32_t>(place), g.channels, in + from,
                                 out + place * g.channels);
                      });
                    });
  });
}

void CpuAvgPool2d(const Tensor& x, const Window& window, const Tensor& y) {
  const Geometry g(x.shape(), window, y.shape());
  CHECK(x.dtype() == y.dtype());
  if (y.num_elements() == 0) return;
  WithFloatingType(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    const W size = static_cast<W>(window.height * window.width);
    ForEachImage<T>(x, g.image(), Write::kReplace, y, g.out_image(), g.batch,
                    [&](const W* in, W* out, int64_t) {
                      ForEachPixel(g, [&](int64_t output, int64_t place) {
                        AddScaled(W(1), g.channels, in + place * g.channels,
                                  out + output * g.channels);
                      });
                      for (int64_t i = 0; i < g.out_image(); ++i) out[i] /= size;
                    });
  });
}

void CpuAvgPool2dGradient(const Tensor& dy, const Window& window, Write write, const Tensor& dx) {
  const Geometry g(dx.shape(), window, dy.shape());
  CHECK(dx.dtype() == dy.dtype());
  if (dx.num_elements() == 0) return;
  WithFloatingType(dx.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    const W share = W(1) / static_cast<W>(window.height * window.width);
    ForEachImage<T>(
        dy, g.out_image(), write, dx, g.image(), g.batch, [&](const W* in, W* out, int64_t) {
          ForEachPixel(g, [&](int64_t output, int64_t place) {
            AddScaled(share, g.channels, in + output * g.channels, out + place * g.channels);
          });
        });
  });
}

}  // namespace parley
