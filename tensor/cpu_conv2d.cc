#include "tensor/cpu_conv2d.h"

#include <algorithm>
#include <vector>

#include "glog/logging.h"
#include "tensor/cpu_conv2d_geometry.h"
#include "tensor/cpu_panels.h"
#include "tensor/cpu_tile.h"
#include "tensor/cpu_wide_images.h"
#include "tensor/cpu_widen.h"

namespace parley {
namespace {

// Of the images that are worked on together: they stay in the second-level cache.
constexpr int64_t kGroupBytes = 512 << 10;

int64_t ImagesTogether(int64_t image_bytes, int64_t batch) {
  return std::clamp<int64_t>(kGroupBytes / std::max<int64_t>(1, image_bytes), 1,
                             std::max<int64_t>(1, batch));
}

// A correlation of images with taps: out(p) = sum over taps t of in(p * stride + start + t) *
// matrix(t), where outputs form a grid that may leave out pixels of the image they belong to.
template <typename W>
struct Correlation {
  TapSlide vertical, horizontal;
  int64_t in_channels, out_channels;
  // Of the outputs, elements.
  int64_t out_row, out_column, out_begin;
  // The taps' matrices [in_channels, out_channels] one below the other, as panels (cpu_panels.h);
  // each panel is `depth()` rows.
  std::shared_ptr<W> panels;

  int64_t depth() const { return vertical.taps * horizontal.taps * in_channels; }
};

// The places of a dimension in runs that share the same taps.
std::vector<IndexRange> RunsOfEqualTaps(const TapSlide& slide) {
  std::vector<IndexRange> runs;
  for (int64_t place = 0; place < slide.out; ++place) {
    if (!runs.empty() && slide.TapsAt(place) == slide.TapsAt(runs.back().begin)) {
      ++runs.back().end;
    } else {
      runs.push_back({place, place + 1});
    }
  }
  return runs;
}

// Images of a group, all pixels of which see the same taps of a correlation.
template <typename W>
class EqualPixels {
 public:
  EqualPixels(const Correlation<W>& correlation, const IndexRange& rows, const IndexRange& columns)
      : c_(correlation),
        rows_(rows),
        columns_(columns),
        high_(c_.vertical.TapsAt(rows.begin)),
        wide_(c_.horizontal.TapsAt(columns.begin)) {}

  void Compute(const W* in, int64_t in_image, int64_t images, Write write, W* out,
               int64_t out_image) {
    if (high_.size() * wide_.size() * c_.in_channels == 0) {
      if (write == Write::kReplace) Clear(images, out, out_image);
      return;
    }
    FindPixels(in, in_image, images, out, out_image);
    const int64_t in_row = c_.horizontal.in * c_.in_channels;
    const int64_t panel_row = c_.horizontal.taps * c_.in_channels * kTileColumns<W>;
    // A row of taps is contiguous, in the image and in the panel.
    const TileWalk walk = {
        {1, high_.size(), wide_.size() * c_.in_channels}, {0, in_row, 1}, {0, panel_row}};
    const bool listed = walk.count[2] < kShortestLoop;
    std::vector<TileTerm> terms;
    for (int64_t i = 0; listed && i < walk.count[1]; ++i) {
      for (int64_t j = 0; j < walk.count[2]; ++j) {
        terms.push_back({i * in_row + j, i * panel_row + j * kTileColumns<W>});
      }
    }
    const int64_t skipped =
        (high_.begin * c_.horizontal.taps + wide_.begin) * c_.in_channels * kTileColumns<W>;
    for (int64_t channel = 0; channel < c_.out_channels; channel += kTileColumns<W>) {
      const W* const panel = c_.panels.get() + channel * c_.depth() + skipped;
      const int present =
          static_cast<int>(std::min<int64_t>(kTileColumns<W>, c_.out_channels - channel));
      ForEachTile(static_cast<int64_t>(left_.size()), [&](int64_t pixel, int rows) {
        W* to[kTileRows];
        for (int i = 0; i < rows; ++i) to[i] = result_[pixel + i] + channel;
        if (listed) {
          TileProductOfTerms<W>(rows, present, terms, left_.data() + pixel, panel, W(1), write, to);
        } else {
          TileProduct<W>(rows, present, walk, left_.data() + pixel, panel, W(1), write, to);
        }
      });
    }
  }

 private:
  // Of a loop over the taps in a row and their channels.
  static constexpr int64_t kShortestLoop = 10;

  // Where the pixels' first taps are, and their results.
  void FindPixels(const W* in, int64_t in_image, int64_t images, W* out, int64_t out_image) {
    const int64_t pixels = images * rows_.size() * columns_.size();
    left_.resize(pixels);
    result_.resize(pixels);
    const W** left = left_.data();
    W** result = result_.data();
    const int64_t in_step = c_.horizontal.stride * c_.in_channels;
    for (int64_t image = 0; image < images; ++image) {
      for (int64_t row = rows_.begin; row < rows_.end; ++row) {
        const W* from = in + image * in_image +
                        ((c_.vertical.FirstInput(row) + high_.begin) * c_.horizontal.in +
                         c_.horizontal.FirstInput(columns_.begin) + wide_.begin) *
                            c_.in_channels;
        W* to = out + image * out_image + c_.out_begin + row * c_.out_row +
                columns_.begin * c_.out_column;
        for (int64_t i = 0; i < columns_.size(); ++i) {
          *left++ = from + i * in_step;
          *result++ = to + i * c_.out_column;
        }
      }
    }
  }

  void Clear(int64_t images, W* out, int64_t out_image) const {
    for (int64_t image = 0; image < images; ++image) {
      for (int64_t row = rows_.begin; row < rows_.end; ++row) {
        for (int64_t column = columns_.begin; column < columns_.end; ++column) {
          std::fill_n(
              out + image * out_image + c_.out_begin + row * c_.out_row + column * c_.out_column,
              c_.out_channels, W(0));
        }
      }
    }
  }

  const Correlation<W>& c_;
  const IndexRange rows_, columns_;  // where they are in an output
  const IndexRange high_, wide_;     // taps that they see
  std::vector<const W*> left_;
  std::vector<W*> result_;
};

template <typename W>
void Correlate(const Correlation<W>& c, const W* in, int64_t in_image, int64_t images, Write write,
               W* out, int64_t out_image) {
  for (const IndexRange& rows : RunsOfEqualTaps(c.vertical)) {
    for (const IndexRange& columns : RunsOfEqualTaps(c.horizontal)) {
      EqualPixels<W>(c, rows, columns).Compute(in, in_image, images, write, out, out_image);
    }
  }
}

template <typename T>
void Forward(const Tensor& x, const Tensor& filter, const Conv2dSizes& g, const Tensor& y) {
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
  const int64_t together = ImagesTogether((g.image() + g.out_image()) * sizeof(W), g.batch);
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
  Phase(const TapSlide& slide, int64_t phase)
      : first((phase - slide.start) % slide.stride),
        count(first < slide.taps ? (slide.taps - first - 1) / slide.stride + 1 : 0),
        slide{slide.out, phase < slide.in ? (slide.in - phase - 1) / slide.stride + 1 : 0, count,
              /*stride=*/1, (phase - slide.start - first) / slide.stride - (count - 1)},
        stride(slide.stride) {}

  int64_t Tap(int64_t number) const { return first + (count - 1 - number) * stride; }

  const int64_t first, count;
  const TapSlide slide;  // of these taps over outputs, to inputs of this phase
  const int64_t stride;
};

template <typename T>
void InputGradient(const Tensor& dy, const Tensor& filter, const Conv2dSizes& g, Write write,
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
  const int64_t together = ImagesTogether((g.image() + g.out_image()) * sizeof(W), g.batch);
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

}  // namespace

void CpuConv2d(const Tensor& x, const Tensor& filter, const Window& window, const Tensor& y) {
  const Conv2dSizes g(x.shape(), filter.shape(), window, y.shape());
  CHECK(x.dtype() == filter.dtype() && x.dtype() == y.dtype());
  if (y.num_elements() == 0) return;
  WithFloatingType(y.dtype(), [&](auto zero) { Forward<decltype(zero)>(x, filter, g, y); });
}

void CpuConv2dInputGradient(const Tensor& dy, const Tensor& filter, const Window& window,
                            Write write, const Tensor& dx) {
  const Conv2dSizes g(dx.shape(), filter.shape(), window, dy.shape());
  CHECK(dx.dtype() == filter.dtype() && dx.dtype() == dy.dtype());
  if (dx.num_elements() == 0) return;
  WithFloatingType(dx.dtype(),
                   [&](auto zero) { InputGradient<decltype(zero)>(dy, filter, g, write, dx); });
}

}  // namespace parley
