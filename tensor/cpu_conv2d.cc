#include "tensor/cpu_conv2d.h"

#include <algorithm>
#include <vector>

#include "glog/logging.h"
#include "tensor/cpu_panels.h"
#include "tensor/cpu_tile.h"
#include "tensor/cpu_wide_images.h"
#include "tensor/cpu_widen.h"

namespace parley {
namespace {

// Of the images that are worked on together: they stay in the second-level cache.
constexpr int64_t kGroupBytes = 256 << 10;

// An interval of indices.
struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
  bool operator==(const Range& other) const { return begin == other.begin && end == other.end; }
};

// How taps slide along one dimension: place i of the output sees inputs i * stride + start + tap.
struct Slide {
  int64_t in, out, taps, stride, start;

  int64_t FirstInput(int64_t place) const { return place * stride + start; }
  // Those taps that find an input there; {0, 0} if none does.
  Range TapsAt(int64_t place) const {
    const Range range = {std::clamp<int64_t>(-FirstInput(place), 0, taps),
                         std::clamp<int64_t>(in - FirstInput(place), 0, taps)};
    return range.begin < range.end ? range : Range{0, 0};
  }
  // Those places where a tap finds an input.
  Range PlacesOf(int64_t tap) const {
    const int64_t first = start + tap;              // input of place 0
    const auto places_below = [&](int64_t input) {  // places that see an input before this one
      return std::clamp<int64_t>((input - first + stride - 1) / stride, 0, out);
    };
    const Range range = {first >= 0 ? 0 : places_below(0), in <= first ? 0 : places_below(in)};
    return range.begin < range.end ? range : Range{0, 0};
  }
};

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
        out_channels(filter[3]) {
    CHECK(w.Fits(height, width));
    CHECK(filter == (Shape{w.height, w.width, channels, out_channels})) << filter.ToString();
    CHECK(y == (Shape{batch, out_height, out_width, out_channels})) << y.ToString();
  }

  int64_t image() const { return height * width * channels; }
  int64_t out_image() const { return out_height * out_width * out_channels; }
  Slide vertical() const {
    return {height, out_height, window.height, window.stride, -window.padding};
  }
  Slide horizontal() const {
    return {width, out_width, window.width, window.stride, -window.padding};
  }

  const Window window;
  const int64_t batch, height, width, channels, out_height, out_width, out_channels;
};

int64_t ImagesTogether(int64_t image_bytes, int64_t batch) {
  return std::clamp<int64_t>(kGroupBytes / std::max<int64_t>(1, image_bytes), 1,
                             std::max<int64_t>(1, batch));
}

// A correlation of images with taps: out(p) = sum over taps t of in(p * stride + start + t) *
// matrix(t), where outputs form a grid that may leave out pixels of the image they belong to.
template <typename W>
struct Correlation {
  Slide vertical, horizontal;
  int64_t in_channels, out_channels;
  // Of the outputs, elements.
  int64_t out_row, out_column, out_begin;
  // The taps' matrices [in_channels, out_channels] one below the other, as panels (cpu_panels.h);
  // each panel is `depth()` rows.
  std::shared_ptr<W> panels;

  int64_t depth() const { return vertical.taps * horizontal.taps * in_channels; }
};

// The places of a dimension in runs that share the same taps.
std::vector<Range> RunsOfEqualTaps(const Slide& slide) {
  std::vector<Range> runs;
  for (int64_t place = 0; place < slide.out; ++place) {
    if (!runs.empty() && slide.TapsAt(place) == slide.TapsAt(runs.back().begin)) {
      ++runs.back().end;
    } else {
      runs.push_back({place, place + 1});
    }
  }
  return runs;
}

template <typename W>
void Correlate(const Correlation<W>& c, const W* in, int64_t in_image, int64_t images, Write write,
               W* out, int64_t out_image) {
  const int64_t in_row = c.horizontal.in * c.in_channels;
  std::vector<const W*> left;
  std::vector<W*> result;
  for (const Range& rows : RunsOfEqualTaps(c.vertical)) {
    const Range high = c.vertical.TapsAt(rows.begin);
    for (const Range& columns : RunsOfEqualTaps(c.horizontal)) {
      const Range wide = c.horizontal.TapsAt(columns.begin);
      left.clear();
      result.clear();
      for (int64_t image = 0; image < images; ++image) {
        for (int64_t row = rows.begin; row < rows.end; ++row) {
          // Where no tap finds an input, nothing is read there.
          const W* from = in + image * in_image +
                          (high.size() == 0 ? 0 : c.vertical.FirstInput(row) + high.begin) * in_row;
          W* to = out + image * out_image + c.out_begin + row * c.out_row;
          for (int64_t column = columns.begin; column < columns.end; ++column) {
            const int64_t first =
                wide.size() == 0 ? 0 : c.horizontal.FirstInput(column) + wide.begin;
            left.push_back(from + first * c.in_channels);
            result.push_back(to + column * c.out_column);
          }
        }
      }
      // A row of taps is contiguous, in the image and in the panel.
      const TileWalk walk = {{1, high.size(), wide.size() * c.in_channels},
                             {0, in_row, 1},
                             {0, c.horizontal.taps * c.in_channels * kTileColumns<W>}};
      const int64_t skipped =
          (high.begin * c.horizontal.taps + wide.begin) * c.in_channels * kTileColumns<W>;
      const int64_t pixels = static_cast<int64_t>(left.size());
      for (int64_t channel = 0; channel < c.out_channels; channel += kTileColumns<W>) {
        const W* const panel = c.panels.get() + channel * c.depth() + skipped;
        const int present =
            static_cast<int>(std::min<int64_t>(kTileColumns<W>, c.out_channels - channel));
        for (int64_t pixel = 0; pixel < pixels; pixel += kTileRows) {
          W* to[kTileRows];
          const int tile = static_cast<int>(std::min<int64_t>(kTileRows, pixels - pixel));
          for (int i = 0; i < tile; ++i) to[i] = result[pixel + i] + channel;
          TileProduct<W>(tile, present, walk, left.data() + pixel, panel, W(1), write, to);
        }
      }
    }
  }
}

template <typename W>
std::shared_ptr<W> NewPanels(Backend* backend, int64_t depth, int64_t columns) {
  const int64_t panels = (columns + kTileColumns<W> - 1) / kTileColumns<W>;
  return NewScratch<W>(backend, panels * depth * kTileColumns<W>);
}

template <typename T>
void Forward(const Tensor& x, const Tensor& filter, const Geometry& g, const Tensor& y) {
  using W = WorkType<T>;
  Correlation<W> c = {g.vertical(),
                      g.horizontal(),
                      g.channels,
                      g.out_channels,
                      /*out_row=*/g.out_width * g.out_channels,
                      /*out_column=*/g.out_channels,
                      /*out_begin=*/0,
                      nullptr};
  c.panels = NewPanels<W>(x.backend(), c.depth(), g.out_channels);
  PackPanels<T>({filter.As<T>(), g.out_channels, false}, c.depth(), g.out_channels,
                c.depth() * kTileColumns<W>, c.panels.get());
  const int64_t together = ImagesTogether(g.image() * sizeof(W), g.batch);
  WideImages<T> in(x, g.image(), together);
  WideResults<T> out(y, g.out_image(), together, Write::kReplace);
  for (int64_t first = 0; first < g.batch; first += together) {
    const int64_t images = std::min(together, g.batch - first);
    Correlate<W>(c, in.Read(first, images), g.image(), images, out.inner_write(), out.Begin(first),
                 g.out_image());
    out.Finish(first, images);
  }
}

// The taps that inputs at places phase, phase + stride, ... have in common, along one dimension:
// every stride-th, from `first` on. Place phase + i * stride is seen by output i + last - j through
// tap first + j * stride; taps are numbered from the last j, so that outputs rise with them.
struct Phase {
  Phase(const Slide& slide, int64_t phase)
      : first((phase - slide.start) % slide.stride),
        count(first < slide.taps ? (slide.taps - first - 1) / slide.stride + 1 : 0),
        slide{slide.out, phase < slide.in ? (slide.in - phase - 1) / slide.stride + 1 : 0, count,
              /*stride=*/1, (phase - slide.start - first) / slide.stride - (count - 1)},
        stride(slide.stride) {}

  int64_t Tap(int64_t number) const { return first + (count - 1 - number) * stride; }

  const int64_t first, count;
  const Slide slide;  // of these taps over outputs, to inputs of this phase
  const int64_t stride;
};

template <typename T>
void InputGradient(const Tensor& dy, const Tensor& filter, const Geometry& g, Write write,
                   const Tensor& dx) {
  using W = WorkType<T>;
  const int64_t stride = g.window.stride;
  std::vector<Correlation<W>> correlations;  // one for each phase of rows and columns
  for (int64_t i = 0; i < stride * stride; ++i) {
    const Phase rows(g.vertical(), i / stride), columns(g.horizontal(), i % stride);
    Correlation<W> c = {rows.slide,
                        columns.slide,
                        g.out_channels,
                        g.channels,
                        /*out_row=*/stride * g.width * g.channels,
                        /*out_column=*/stride * g.channels,
                        /*out_begin=*/(i / stride * g.width + i % stride) * g.channels,
                        nullptr};
    c.panels = NewPanels<W>(dy.backend(), c.depth(), g.channels);
    for (int64_t tap = 0; tap < rows.count * columns.count; ++tap) {
      const int64_t place =
          rows.Tap(tap / columns.count) * g.window.width + columns.Tap(tap % columns.count);
      PackPanels<T>({filter.As<T>() + place * g.channels * g.out_channels, g.out_channels, true},
                    g.out_channels, g.channels, c.depth() * kTileColumns<W>,
                    c.panels.get() + tap * g.out_channels * kTileColumns<W>);
    }
    correlations.push_back(std::move(c));
  }
  const int64_t together = ImagesTogether(g.out_image() * sizeof(W), g.batch);
  WideImages<T> in(dy, g.out_image(), together);
  WideResults<T> out(dx, g.image(), together, write);
  for (int64_t first = 0; first < g.batch; first += together) {
    const int64_t images = std::min(together, g.batch - first);
    const W* const from = in.Read(first, images);
    for (const Correlation<W>& c : correlations) {
      Correlate<W>(c, from, g.out_image(), images, out.inner_write(), out.Begin(first), g.image());
    }
    out.Finish(first, images);
  }
}

// The images of a group with zeros around them, each [height, width, channels].
template <typename W>
void Pad(const Geometry& g, const W* in, int64_t images, W* out) {
  const int64_t width = g.width + 2 * g.window.padding;
  const int64_t height = g.height + 2 * g.window.padding;
  std::fill(out, out + images * height * width * g.channels, W(0));
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t row = 0; row < g.height; ++row) {
      std::copy_n(in + (image * g.height + row) * g.width * g.channels, g.width * g.channels,
                  out + ((image * height + row + g.window.padding) * width + g.window.padding) *
                            g.channels);
    }
  }
}

// Rows of the filter's gradient, as a matrix [taps * channels, out channels], that are made in one
// tile: they are sums over the same outputs.
struct FilterRows {
  int64_t first;  // row of the matrix
  int rows;
  int64_t offset[kTileRows];  // of their inputs for the output at place 0, elements
  Range high, wide;           // outputs that are summed
};

// The whole of the filter's gradient in tiles. Where channels are many, a tile's rows are channels
// of one tap, and only outputs that see an input through it are summed. Where they are few, rows
// run across taps, and images must be padded: `padded`.
std::vector<FilterRows> TilesOfFilter(const Geometry& g, bool padded) {
  const int64_t taps = g.window.height * g.window.width;
  const int64_t along = padded ? taps * g.channels : g.channels;  // rows that share outputs
  const int64_t tiles = (along + kTileRows - 1) / kTileRows;
  const Slide vertical = g.vertical(), horizontal = g.horizontal();
  const int64_t width = padded ? g.width + 2 * g.window.padding : g.width;
  std::vector<FilterRows> result;
  for (int64_t part = 0; part < taps * g.channels / along; ++part) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t begin = tile * along / tiles, end = (tile + 1) * along / tiles;
      FilterRows rows = {};
      rows.first = part * along + begin;
      rows.rows = static_cast<int>(end - begin);
      rows.high = padded ? Range{0, g.out_height} : vertical.PlacesOf(part / g.window.width);
      rows.wide = padded ? Range{0, g.out_width} : horizontal.PlacesOf(part % g.window.width);
      for (int i = 0; i < rows.rows; ++i) {
        const int64_t tap = (rows.first + i) / g.channels, channel = (rows.first + i) % g.channels;
        int64_t row = tap / g.window.width, column = tap % g.window.width;
        if (!padded) {
          row += vertical.start;
          column += horizontal.start;
        }
        rows.offset[i] = (row * width + column) * g.channels + channel;
      }
      result.push_back(rows);
    }
  }
  return result;
}

template <typename T>
void FilterGradient(const Tensor& x, const Tensor& dy, const Geometry& g, Write write,
                    const Tensor& dfilter) {
  using W = WorkType<T>;
  // Outputs whose products are summed in one go.
  constexpr int64_t kMostPixels = 512;
  const int64_t pixels = g.out_height * g.out_width;
  const int64_t together =
      std::clamp<int64_t>(kMostPixels / std::max<int64_t>(1, pixels), 1, g.batch);
  const int64_t rows_together = std::clamp<int64_t>(kMostPixels / g.out_width, 1, g.out_height);
  const bool padded = g.channels < kTileRows && g.window.padding > 0;
  const int64_t in_width = padded ? g.width + 2 * g.window.padding : g.width;
  const int64_t in_height = padded ? g.height + 2 * g.window.padding : g.height;
  const int64_t in_image = in_height * in_width * g.channels;
  const std::vector<FilterRows> tiles = TilesOfFilter(g, padded);

  Backend* const backend = dfilter.backend();
  WideImages<T> in(x, g.image(), together);
  WideResults<T> out(dfilter, dfilter.num_elements(), 1, write);
  W* const gradient = out.Begin(0);
  std::shared_ptr<W> room;  // for padded images
  if (padded) room = NewScratch<W>(backend, together * in_image);
  const int64_t most = together * (together > 1 ? pixels : rows_together * g.out_width);
  const std::shared_ptr<W> panels = NewPanels<W>(backend, most, g.out_channels);
  Write next = out.inner_write();
  for (int64_t first = 0; first < g.batch; first += together) {
    const int64_t images = std::min(together, g.batch - first);
    const W* from = in.Read(first, images);
    if (padded) {
      Pad(g, from, images, room.get());
      from = room.get();
    }
    for (int64_t top = 0; top < g.out_height; top += rows_together) {
      const int64_t bottom = std::min(top + rows_together, g.out_height);
      const int64_t image_rows = (bottom - top) * g.out_width;  // of a panel, for each image
      const int64_t panel = images * image_rows * kTileColumns<W>;
      // Either whole images or a part of one.
      PackPanels<T>({dy.As<T>() + (first * g.out_height + top) * g.out_width * g.out_channels,
                     g.out_channels, false},
                    images * image_rows, g.out_channels, panel, panels.get());
      for (int64_t channel = 0; channel < g.out_channels; channel += kTileColumns<W>) {
        const int present =
            static_cast<int>(std::min<int64_t>(kTileColumns<W>, g.out_channels - channel));
        for (const FilterRows& tile : tiles) {
          const Range high = {std::max(tile.high.begin, top), std::min(tile.high.end, bottom)};
          const int64_t count = std::max<int64_t>(0, high.size());
          const TileWalk walk = {
              {images, count, tile.wide.size()},
              {in_image, g.window.stride * in_width * g.channels, g.window.stride * g.channels},
              {image_rows * kTileColumns<W>, g.out_width * kTileColumns<W>}};
          const int64_t start = (high.begin * in_width + tile.wide.begin) * g.window.stride;
          const W* left[kTileRows];
          W* result[kTileRows];
          for (int i = 0; i < tile.rows; ++i) {
            left[i] = count == 0 || tile.wide.size() == 0
                          ? from
                          : from + (start * g.channels + tile.offset[i]);
            result[i] = gradient + (tile.first + i) * g.out_channels + channel;
          }
          const W* const right =
              panels.get() + channel / kTileColumns<W> * panel +
              (count == 0 ? 0 : (high.begin - top) * g.out_width + tile.wide.begin) *
                  kTileColumns<W>;
          TileProduct<W>(tile.rows, present, walk, left, right, W(1), next, result);
        }
      }
      next = Write::kAdd;
    }
  }
  out.Finish(0, 1);
}

}  // namespace

void CpuConv2d(const Tensor& x, const Tensor& filter, const Window& window, const Tensor& y) {
  const Geometry g(x.shape(), filter.shape(), window, y.shape());
  CHECK(x.dtype() == filter.dtype() && x.dtype() == y.dtype());
  if (y.num_elements() == 0) return;
  WithFloatingType(y.dtype(), [&](auto zero) { Forward<decltype(zero)>(x, filter, g, y); });
}

void CpuConv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                            Write write, const Tensor& dx) {
  const Geometry g(dx.shape(), filter.shape(), window, dy.shape());
  CHECK(dx.dtype() == filter.dtype() && dx.dtype() == dy.dtype());
  if (dx.num_elements() == 0) return;
  WithFloatingType(dx.dtype(),
                   [&](auto zero) { InputGradient<decltype(zero)>(dy, filter, g, write, dx); });
}

void CpuConv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window, Write write,
                             const Tensor& dfilter) {
  const Geometry g(x.shape(), dfilter.shape(), window, dy.shape());
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
