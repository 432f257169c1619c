#include "tensor/cpu_conv2d.h"

#include <algorithm>

#include "glog/logging.h"
#include "tensor/cpu_matrix.h"

namespace parley {
namespace {

constexpr int64_t kPatchBytes = 256 << 10;

// The sizes of one convolution.
struct Geometry {
  Geometry(const Shape& x, const Shape& filter, const Window& w, const Shape& y)
      : window(w),
        batch(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        out_height(w.OutputHeight(height)),
        out_width(w.OutputWidth(width)),
        out_channels(filter[3]),
        patch(w.height * w.width * channels),
        pixels(out_height * out_width),
        group(std::clamp<int64_t>(kPatchBytes / std::max<int64_t>(1, pixels * patch * 4), 1,
                                  std::max<int64_t>(1, batch))) {
    CHECK(w.Fits(height, width));
    CHECK(filter == (Shape{w.height, w.width, channels, out_channels})) << filter.ToString();
    CHECK(y == (Shape{batch, out_height, out_width, out_channels})) << y.ToString();
  }

  const Window window;
  const int64_t batch, height, width, channels, out_height, out_width, out_channels;
  const int64_t patch;   // elements of one
  const int64_t pixels;  // of one output image
  const int64_t group;   // images at a time
};

// Calls visit(image row pointer or null where padding is, patch row pointer, elements) for each run
// of a patch that is contiguous in the image: one window row.
template <typename Visit>
void ForEachRun(const Geometry& g, float* image, float* patches, Visit visit) {
  const int64_t run = g.window.width * g.channels;
  for (int64_t oy = 0; oy < g.out_height; ++oy) {
    for (int64_t ox = 0; ox < g.out_width; ++ox) {
      const int64_t left = ox * g.window.stride - g.window.padding;
      for (int64_t ky = 0; ky < g.window.height; ++ky, patches += run) {
        const int64_t row = oy * g.window.stride - g.window.padding + ky;
        if (row < 0 || row >= g.height) {
          visit(nullptr, patches, run);
          continue;
        }
        const int64_t begin = std::clamp<int64_t>(-left, 0, g.window.width);
        const int64_t end = std::clamp<int64_t>(g.width - left, begin, g.window.width);
        if (begin > 0) visit(nullptr, patches, begin * g.channels);
        visit(image + (row * g.width + left + begin) * g.channels, patches + begin * g.channels,
              (end - begin) * g.channels);
        if (end < g.window.width) {
          visit(nullptr, patches + end * g.channels, (g.window.width - end) * g.channels);
        }
      }
    }
  }
}

void GatherPatches(const Geometry& g, const float* image, float* patches) {
  ForEachRun(g, const_cast<float*>(image), patches, [](const float* in, float* out, int64_t size) {
    if (in == nullptr) {
      std::fill(out, out + size, 0.0f);
    } else {
      for (int64_t i = 0; i < size; ++i) out[i] = in[i];
    }
  });
}

void ScatterPatches(const Geometry& g, float* patches, float* image) {
  ForEachRun(g, image, patches, [](float* out, const float* in, int64_t size) {
    if (out == nullptr) return;
    for (int64_t i = 0; i < size; ++i) out[i] += in[i];
  });
}

Tensor NewPatches(const Geometry& g, const Tensor& like) {
  return Tensor(like.backend(), {g.group * g.pixels, g.patch});
}

}  // namespace

void CpuConv2d(const Tensor& x, const Tensor& filter, const Window& window, const Tensor& y) {
  const Geometry g(x.shape(), filter.shape(), window, y.shape());
  const Tensor patches = NewPatches(g, x);
  const ConstMatrixMap weights(filter.data(), g.patch, g.out_channels);
  for (int64_t first = 0; first < g.batch; first += g.group) {
    const int64_t images = std::min(g.group, g.batch - first);
    for (int64_t i = 0; i < images; ++i) {
      GatherPatches(g, x.data() + (first + i) * g.height * g.width * g.channels,
                    patches.data() + i * g.pixels * g.patch);
    }
    MatrixMap(y.data() + first * g.pixels * g.out_channels, images * g.pixels, g.out_channels)
        .noalias() = ConstMatrixMap(patches.data(), images * g.pixels, g.patch) * weights;
  }
}

void CpuConv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                            Write write, const Tensor& dx) {
  const Geometry g(dx.shape(), filter.shape(), window, dy.shape());
  const Tensor patches = NewPatches(g, dx);
  const ConstMatrixMap weights(filter.data(), g.patch, g.out_channels);
  if (write == Write::kReplace) AsArray(dx).setZero();
  for (int64_t first = 0; first < g.batch; first += g.group) {
    const int64_t images = std::min(g.group, g.batch - first);
    MatrixMap(patches.data(), images * g.pixels, g.patch).noalias() =
        ConstMatrixMap(dy.data() + first * g.pixels * g.out_channels, images * g.pixels,
                       g.out_channels) *
        weights.transpose();
    for (int64_t i = 0; i < images; ++i) {
      ScatterPatches(g, patches.data() + i * g.pixels * g.patch,
                     dx.data() + (first + i) * g.height * g.width * g.channels);
    }
  }
}

void CpuConv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                             const Tensor& dfilter) {
  const Geometry g(x.shape(), dfilter.shape(), window, dy.shape());
  const Tensor patches = NewPatches(g, x);
  MatrixMap gradient(dfilter.data(), g.patch, g.out_channels);
  if (write == Write::kReplace) gradient.setZero();
  for (int64_t first = 0; first < g.batch; first += g.group) {
    const int64_t images = std::min(g.group, g.batch - first);
    for (int64_t i = 0; i < images; ++i) {
      GatherPatches(g, x.data() + (first + i) * g.height * g.width * g.channels,
                    patches.data() + i * g.pixels * g.patch);
    }
    gradient.noalias() += ConstMatrixMap(patches.data(), images * g.pixels, g.patch).transpose() *
                          ConstMatrixMap(dy.data() + first * g.pixels * g.out_channels,
                                         images * g.pixels, g.out_channels);
  }
}

}  // namespace parley
