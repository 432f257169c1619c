#include "tensor/cpu_panels.h"

#include <algorithm>

namespace parley {
namespace {

// out[j][i] = in[i][j] for a square of as many elements as a vector has.
template <typename T>
inline void TransposeSquare(const T* in, int64_t in_stride, float* out, int64_t out_stride) {
  __m256 r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = LoadWide(in + i * in_stride);
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    StoreWide(out + i * out_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    StoreWide(out + (i + 4) * out_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

inline void TransposeSquare(const double* in, int64_t in_stride, double* out, int64_t out_stride) {
  __m256d r[4], s[4];
  for (int i = 0; i < 4; ++i) r[i] = LoadWide(in + i * in_stride);
  for (int i = 0; i < 4; i += 2) {
    s[i] = _mm256_unpacklo_pd(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_pd(r[i], r[i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    StoreWide(out + i * out_stride, _mm256_permute2f128_pd(s[i], s[i + 2], 0x20));
    StoreWide(out + (i + 2) * out_stride, _mm256_permute2f128_pd(s[i], s[i + 2], 0x31));
  }
}

// One panel of which all `columns` are there, from a matrix that is stored transposed.
template <typename T>
void TransposeToPanel(const T* in, int64_t stride, int64_t rows, int64_t columns,
                      WorkType<T>* panel) {
  using W = WorkType<T>;
  constexpr int64_t kLanes = 32 / sizeof(W);
  // Two squares at a time: a whole cache line of each column.
  constexpr int64_t kRows = 2 * kLanes;
  int64_t done = 0;
  for (; done + kRows <= rows; done += kRows) {
    W* const to = panel + done * kTileColumns<W>;
    int64_t column = 0;
    for (; column + kLanes <= columns; column += kLanes) {
      const T* const from = in + column * stride + done;
      TransposeSquare(from, stride, to + column, kTileColumns<W>);
      TransposeSquare(from + kLanes, stride, to + kLanes * kTileColumns<W> + column,
                      kTileColumns<W>);
    }
    for (; column < columns; ++column) {
      for (int64_t row = 0; row < kRows; ++row) {
        to[row * kTileColumns<W> + column] = static_cast<W>(in[column * stride + done + row]);
      }
    }
  }
  for (int64_t row = done; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      panel[row * kTileColumns<W> + column] = static_cast<W>(in[column * stride + row]);
    }
  }
}

}  // namespace

template <typename T>
void PackPanels(const MatrixView<T>& b, int64_t rows, int64_t columns, int64_t panel_stride,
                WorkType<T>* panels) {
  using W = WorkType<T>;
  constexpr int64_t kColumns = kTileColumns<W>;
  constexpr int64_t kLanes = 32 / sizeof(W);
  // So many rows at a time that those of all panels are read while their cache lines are near; all
  // where it is columns that lie together.
  const int64_t most = b.transposed ? rows : 16;
  for (int64_t first = 0; first < rows; first += most) {
    const int64_t chunk = std::min(most, rows - first);
    for (int64_t column = 0; column < columns; column += kColumns) {
      W* panel = panels + column / kColumns * panel_stride + first * kColumns;
      const int64_t present = std::min(kColumns, columns - column);
      if (present < kColumns) std::fill(panel, panel + chunk * kColumns, W(0));
      const T* in = b.At(first, column);
      if (b.transposed) {
        TransposeToPanel(in, b.stride, chunk, present, panel);
      } else if (present == kColumns) {
        for (int64_t row = 0; row < chunk; ++row, in += b.stride, panel += kColumns) {
          StoreWide(panel, LoadWide(in));
          StoreWide(panel + kLanes, LoadWide(in + kLanes));
        }
      } else {
        for (int64_t row = 0; row < chunk; ++row, in += b.stride, panel += kColumns) {
          for (int64_t j = 0; j < present; ++j) panel[j] = static_cast<W>(in[j]);
        }
      }
    }
  }
}

template <typename T>
void PackColumns(const MatrixView<T>& a, int64_t rows, int64_t columns, int64_t panel_stride,
                 WorkType<T>* panels) {
  using W = WorkType<T>;
  constexpr int64_t kLanes = 32 / sizeof(W);
  constexpr int64_t kVectors = (kTileRows + kLanes - 1) / kLanes;
  // Few columns at a time: where they lie a power of two apart, they compete for cache lines.
  constexpr int64_t kChunk = 4;
  for (int64_t first = 0; first < columns; first += kChunk) {
    const int64_t last = std::min(columns, first + kChunk);
    for (int64_t row = 0; row < rows; row += kTileRows) {
      W* panel = panels + row / kTileRows * panel_stride + first * kTileRows;
      // Whole vectors: the next column overwrites what is too much.
      const bool whole = row + kVectors * kLanes <= rows;
      for (int64_t column = first; column < last; ++column, panel += kTileRows) {
        const T* in = a.data + column * a.stride + row;
        if (whole) {
          for (int64_t v = 0; v < kVectors; ++v) {
            StoreWide(panel + v * kLanes, LoadWide(in + v * kLanes));
          }
        } else {
          const int64_t present = std::min<int64_t>(kTileRows, rows - row);
          for (int64_t i = 0; i < present; ++i) panel[i] = static_cast<W>(in[i]);
        }
      }
    }
  }
}

#define PARLEY_DEFINE_PACKING(T)                                                              \
  template void PackPanels<T>(const MatrixView<T>&, int64_t, int64_t, int64_t, WorkType<T>*); \
  template void PackColumns<T>(const MatrixView<T>&, int64_t, int64_t, int64_t, WorkType<T>*);
PARLEY_DEFINE_PACKING(float)
PARLEY_DEFINE_PACKING(double)
PARLEY_DEFINE_PACKING(Eigen::half)
PARLEY_DEFINE_PACKING(Eigen::bfloat16)
#undef PARLEY_DEFINE_PACKING

}  // namespace parley
