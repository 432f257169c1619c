#include <algorithm>
#include <vector>

#include "absl/types/span.h"
#include "glog/logging.h"
#include "tensor/cpu_conv2d.h"
#include "tensor/cpu_conv2d_geometry.h"
#include "tensor/cpu_panels.h"
#include "tensor/cpu_tile.h"
#include "tensor/cpu_wide_images.h"
#include "tensor/cpu_widen.h"

namespace parley {
namespace {

// Rows of the filter's gradient, as a matrix [taps * channels, out channels], that are made in one
// tile: they are sums over the same outputs.
struct FilterRows {
  int64_t first;  // row of the matrix
  int rows;
  int64_t offset[kTileRows];  // of their inputs for the output at place 0, elements
  IndexRange high, wide;      // outputs that are summed
};

// How the images are laid out for the gradient of a filter: channels in groups that tiles take as
// rows, each group of all images apart, so that what a tile reads lies together. Where channels are
// few, all are one group, images have zeros around them, and tiles run across taps.
struct FilterInput {
  explicit FilterInput(const Conv2dSizes& g)
      : across_taps(g.channels < kTileRows),
        margin(across_taps ? g.window.padding : 0),
        // A window of one pixel leaves out what lies between.
        step(g.window.height * g.window.width == 1 && g.window.padding == 0 ? g.window.stride : 1),
        height((g.height - 1) / step + 1 + 2 * margin),
        width((g.width - 1) / step + 1 + 2 * margin),
        pixel(across_taps ? g.channels : kTileRows),
        groups(across_taps ? 1 : (g.channels + kTileRows - 1) / kTileRows) {}

  int64_t image() const { return height * width * pixel; }
  // Elements of a group of channels; a vector more, as groups are copied by whole vectors.
  template <typename W>
  int64_t group(int64_t images) const {
    return images * image() + kTileColumns<W>;
  }

  const bool across_taps;
  const int64_t margin, step, height, width;
  const int64_t pixel;  // elements from one to the next
  const int64_t groups;
};

// Copies `images` images into that layout.
template <typename T>
void LayOut(const Conv2dSizes& g, const FilterInput& input, const T* in, int64_t images,
            WorkType<T>* out) {
  using W = WorkType<T>;
  constexpr int64_t kLanes = 32 / sizeof(W);
  constexpr int64_t kVectors = (kTileRows + kLanes - 1) / kLanes;
  if (input.margin > 0) std::fill(out, out + images * input.image(), W(0));
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t row = 0; row < g.height; row += input.step) {
      const T* const from = in + (image * g.height + row) * g.width * g.channels;
      W* const to = out + image * input.image() +
                    ((row / input.step + input.margin) * input.width + input.margin) * input.pixel;
      if (input.across_taps && input.step == 1) {
        Widen(from, g.width * g.channels, to);
        continue;
      }
      int64_t group = 0;
      ForEachTile(g.channels, [&](int64_t begin, int channels) {
        W* pixel = to + group++ * input.group<W>(images);
        // Whole vectors: the next pixel overwrites what is too much.
        const bool whole = begin + kVectors * kLanes <= g.channels;
        for (int64_t column = 0; column < g.width; column += input.step, pixel += input.pixel) {
          const T* const first = from + column * g.channels + begin;
          if (whole) {
            for (int64_t v = 0; v < kVectors; ++v) {
              StoreWide(pixel + v * kLanes, LoadWide(first + v * kLanes));
            }
          } else {
            for (int i = 0; i < channels; ++i) pixel[i] = static_cast<W>(first[i]);
          }
        }
      });
    }
  }
}

// The whole of the filter's gradient in tiles. Where channels are many, a tile's rows are channels
// of one tap, and only outputs that see an input through it are summed.
std::vector<FilterRows> TilesOfFilter(const Conv2dSizes& g, const FilterInput& input,
                                      int64_t group_size) {
  const int64_t taps = g.window.height * g.window.width;
  const TapSlide vertical = g.vertical(), horizontal = g.horizontal();
  std::vector<FilterRows> result;
  // Of the input for the output at place 0.
  const auto offset_of = [&](int64_t tap) {
    return ((tap / g.window.width + vertical.start + input.margin) * input.width +
            tap % g.window.width + horizontal.start + input.margin) *
           input.pixel;
  };
  if (input.across_taps) {
    ForEachTile(taps * g.channels, [&](int64_t begin, int count) {
      FilterRows rows = {begin, count, {}, {0, g.out_height}, {0, g.out_width}};
      for (int i = 0; i < count; ++i) {
        rows.offset[i] = offset_of((begin + i) / g.channels) + (begin + i) % g.channels;
      }
      result.push_back(rows);
    });
    return result;
  }
  int64_t group = 0;
  ForEachTile(g.channels, [&](int64_t begin, int count) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      FilterRows rows = {tap * g.channels + begin,
                         count,
                         {},
                         vertical.PlacesOf(tap / g.window.width),
                         horizontal.PlacesOf(tap % g.window.width)};
      for (int i = 0; i < count; ++i) rows.offset[i] = group * group_size + offset_of(tap) + i;
      result.push_back(rows);
    }
    ++group;
  });
  return result;
}

// Sums, for rows [top, bottom) of the outputs of `images` images, whose gradients are `panels`,
// into all of the filter's gradient.
template <typename W>
void AddProducts(const Conv2dSizes& g, const FilterInput& input, absl::Span<const FilterRows> tiles,
                 const W* in, int64_t images, int64_t top, int64_t bottom, const W* panels,
                 Write write, W* gradient) {
  const int64_t panel_image = (bottom - top) * g.out_width * kTileColumns<W>;
  const int64_t stride = g.window.stride / input.step;
  for (int64_t channel = 0; channel < g.out_channels; channel += kTileColumns<W>) {
    const W* const panel = panels + channel / kTileColumns<W> * images * panel_image;
    const int present =
        static_cast<int>(std::min<int64_t>(kTileColumns<W>, g.out_channels - channel));
    for (const FilterRows& tile : tiles) {
      const IndexRange high = {std::max(tile.high.begin, top), std::min(tile.high.end, bottom)};
      const bool any = high.size() > 0 && tile.wide.size() > 0;
      const TileWalk walk = {
          {images, any ? high.size() : 0, tile.wide.size()},
          {input.image(), stride * input.width * input.pixel, stride * input.pixel},
          {panel_image, g.out_width * kTileColumns<W>}};
      const int64_t first = (high.begin * input.width + tile.wide.begin) * stride * input.pixel;
      const int64_t place = (high.begin - top) * g.out_width + tile.wide.begin;
      const W* left[kTileRows];
      W* result[kTileRows];
      for (int i = 0; i < tile.rows; ++i) {
        left[i] = any ? in + (first + tile.offset[i]) : in;
        result[i] = gradient + (tile.first + i) * g.out_channels + channel;
      }
      TileProduct<W>(tile.rows, present, walk, left, any ? panel + place * kTileColumns<W> : panel,
                     W(1), write, result);
    }
  }
}

template <typename T>
void FilterGradient(const Tensor& x, const Tensor& dy, const Conv2dSizes& g, Write write,
                    const Tensor& dfilter) {
  using W = WorkType<T>;
  // Outputs whose products are summed in one go: whole images, or some rows of one.
  constexpr int64_t kMostPixels = 512;
  const int64_t pixels = g.out_height * g.out_width;
  const int64_t together = std::clamp<int64_t>(kMostPixels / pixels, 1, g.batch);
  const int64_t rows_together = std::clamp<int64_t>(kMostPixels / g.out_width, 1, g.out_height);
  const FilterInput input(g);
  WideResults<T> out(dfilter, dfilter.num_elements(), 1, write);
  const std::shared_ptr<W> laid_out =
      NewScratch<W>(x.backend(), input.groups * input.group<W>(together));
  const std::shared_ptr<W> panels =
      NewPanels<W>(x.backend(), together * rows_together * g.out_width, g.out_channels);
  std::vector<FilterRows> tiles;
  Write next = out.inner_write();
  for (int64_t first = 0; first < g.batch; first += together) {
    const int64_t images = std::min(together, g.batch - first);
    LayOut(g, input, x.As<T>() + first * g.image(), images, laid_out.get());
    if (first == 0 || images < together) tiles = TilesOfFilter(g, input, input.group<W>(images));
    for (int64_t top = 0; top < g.out_height; top += rows_together) {
      const int64_t bottom = std::min(top + rows_together, g.out_height);
      const int64_t outputs = images * (bottom - top) * g.out_width;
      PackPanels<T>({dy.As<T>() + (first * g.out_height + top) * g.out_width * g.out_channels,
                     g.out_channels, false},
                    outputs, g.out_channels, outputs * kTileColumns<W>, panels.get());
      AddProducts<W>(g, input, tiles, laid_out.get(), images, top, bottom, panels.get(), next,
                     out.Begin(0));
      next = Write::kAdd;
    }
  }
  out.Finish(0, 1);
}

}  // namespace

void CpuConv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                             const Tensor& dfilter) {
  const Conv2dSizes g(x.shape(), dfilter.shape(), window, dy.shape());
  CHECK(x.dtype() == dfilter.dtype() && x.dtype() == dy.dtype());
  if (dfilter.num_elements() == 0) return;
  WithFloatingType(dfilter.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (g.batch > 0) {
      FilterGradient<T>(x, dy, g, write, dfilter);
    } else if (write == Write::kReplace) {
      std::fill_n(dfilter.As<T>(), dfilter.num_elements(), T(0));
    }
  });
}

}  // namespace parley
