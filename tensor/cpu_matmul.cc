#include "tensor/cpu_matmul.h"

#include <algorithm>

#include "glog/logging.h"
#include "tensor/cpu_panels.h"
#include "tensor/cpu_tile.h"
#include "tensor/cpu_widen.h"

namespace parley {
namespace {

// Blocks: of the left side kMostRows x kMostDepth and a panel of the right stay in the second-level
// cache while tiles are made of them.
constexpr int64_t kMostRows = 96;  // a multiple of kTileRows
constexpr int64_t kMostDepth = 384;
constexpr int64_t kMostColumns = 512;  // a multiple of kTileColumns
// Of a result that must be summed apart, before it is rounded.
constexpr int64_t kMostResultRows = 4 * kMostRows;

int64_t RoundedUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The sizes of one product: out[rows, columns] = scale * a[rows, depth] b[depth, columns].
struct Sizes {
  int64_t rows, columns, depth;
  bool transpose_a, transpose_b;

  int64_t a_stride() const { return transpose_a ? rows : depth; }
  int64_t b_stride() const { return transpose_b ? depth : columns; }
};

// Makes products of one size, one after the other, in the same scratch memory.
template <typename T>
class Multiplier {
 public:
  using W = WorkType<T>;

  Multiplier(Backend* backend, const Sizes& sizes, double scale)
      : sizes_(sizes),
        scale_(static_cast<W>(scale)),
        block_depth_(EvenBlock(sizes.depth, kMostDepth)),
        block_columns_(std::min(kMostColumns, RoundedUp(sizes.columns, kTileColumns<W>))),
        block_rows_(std::min(kMostRows, RoundedUp(sizes.rows, kTileRows))),
        left_stride_(block_depth_ * kTileRows + kTileColumns<W>),
        right_(NewScratch<W>(backend, block_columns_ * block_depth_)) {
    if (sizes.transpose_a || !kIsWorkType<T>) {
      left_ = NewScratch<W>(backend, block_rows_ / kTileRows * left_stride_);
    }
    if (!kIsWorkType<T>) {
      result_ = NewScratch<W>(backend, std::min(kMostResultRows, sizes.rows) * block_columns_);
    }
  }

  void Multiply(const T* a, const T* b, Write write, T* out) {
    for (int64_t column = 0; column < sizes_.columns; column += block_columns_) {
      const int64_t columns = std::min(block_columns_, sizes_.columns - column);
      if constexpr (kIsWorkType<T>) {
        MultiplyPart(a, b, 0, sizes_.rows, column, columns, write, out + column, sizes_.columns);
      } else {
        for (int64_t row = 0; row < sizes_.rows; row += kMostResultRows) {
          const int64_t rows = std::min(kMostResultRows, sizes_.rows - row);
          MultiplyPart(a, b, row, rows, column, columns, Write::kReplace, result_.get(), columns);
          for (int64_t i = 0; i < rows; ++i) {
            Narrow(result_.get() + i * columns, columns, write,
                   out + (row + i) * sizes_.columns + column);
          }
        }
      }
    }
  }

 private:
  // Blocks of about the same size, none larger than `most`.
  static int64_t EvenBlock(int64_t whole, int64_t most) {
    const int64_t blocks = std::max<int64_t>(1, (whole + most - 1) / most);
    return (whole + blocks - 1) / blocks;
  }

  // A part of the result, which begins at `out`.
  void MultiplyPart(const T* a, const T* b, int64_t first_row, int64_t rows, int64_t column,
                    int64_t columns, Write write, W* out, int64_t out_stride) {
    const MatrixView<T> left = {a, sizes_.a_stride(), sizes_.transpose_a};
    const MatrixView<T> right = {b, sizes_.b_stride(), sizes_.transpose_b};
    int64_t begin = 0;
    do {  // once even when there is no depth, to write zeros
      const int64_t depth = std::min(block_depth_, sizes_.depth - begin);
      const MatrixView<T> part = {right.At(begin, column), right.stride, right.transposed};
      PackPanels(part, depth, columns, depth * kTileColumns<W>, right_.get());
      for (int64_t row = 0; row < rows; row += block_rows_) {
        MultiplyBlock({left.At(first_row + row, begin), left.stride, left.transposed},
                      std::min(block_rows_, rows - row), columns, depth,
                      begin == 0 ? write : Write::kAdd, out + row * out_stride, out_stride);
      }
      begin += depth;
    } while (begin < sizes_.depth);
  }

  void MultiplyBlock(const MatrixView<T>& a, int64_t rows, int64_t columns, int64_t depth,
                     Write write, W* out, int64_t out_stride) {
    // Where element (i, k) of the left side is: base[tile(i)] + row(i) * row_step + k * step.
    const W* base;
    int64_t tile_step, row_step, step;
    if (a.transposed) {
      PackColumns(a, rows, depth, left_stride_, left_.get());
      base = left_.get();
      tile_step = left_stride_;
      row_step = 1;
      step = kTileRows;
    } else if constexpr (kIsWorkType<T>) {
      base = a.data;
      tile_step = kTileRows * a.stride;
      row_step = a.stride;
      step = 1;
    } else {
      for (int64_t i = 0; i < rows; ++i) {
        Widen(a.data + i * a.stride, depth, left_.get() + i * depth);
      }
      base = left_.get();
      tile_step = kTileRows * depth;
      row_step = depth;
      step = 1;
    }
    const TileWalk walk = {{1, 1, depth}, {0, 0, step}, {0, 0}};
    for (int64_t column = 0; column < columns; column += kTileColumns<W>) {
      const W* const panel = right_.get() + column * depth;
      const int present = static_cast<int>(std::min<int64_t>(kTileColumns<W>, columns - column));
      for (int64_t row = 0; row < rows; row += kTileRows) {
        const int tile_rows = static_cast<int>(std::min<int64_t>(kTileRows, rows - row));
        const W* left[kTileRows];
        W* result[kTileRows];
        for (int i = 0; i < tile_rows; ++i) {
          left[i] = base + row / kTileRows * tile_step + i * row_step;
          result[i] = out + (row + i) * out_stride + column;
        }
        TileProduct<W>(tile_rows, present, walk, left, panel, scale_, write, result);
      }
    }
  }

  const Sizes sizes_;
  const W scale_;
  const int64_t block_depth_, block_columns_, block_rows_;
  const int64_t left_stride_;  // of a panel of the left side, elements
  const std::shared_ptr<W> right_;
  std::shared_ptr<W> left_;    // where the left side cannot be read in place
  std::shared_ptr<W> result_;  // where it cannot be summed in place
};                             // namespace

}  // namespace

void CpuMatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Write write,
               const Tensor& out) {
  const auto columns_of = [](const Tensor& x) -> int64_t {
    return x.shape().rank() == 0 ? 1 : x.shape().back();
  };
  const int64_t a_rows = a.shape().rows(), a_columns = columns_of(a);
  const int64_t b_rows = b.shape().rows(), b_columns = columns_of(b);
  const Sizes sizes = {transpose_a ? a_columns : a_rows, transpose_b ? b_rows : b_columns,
                       transpose_a ? a_rows : a_columns, transpose_a, transpose_b};
  CHECK_EQ(sizes.depth, transpose_b ? b_columns : b_rows);
  CHECK(out.shape().rows() == sizes.rows && columns_of(out) == sizes.columns)
      << out.shape().ToString();
  CHECK(a.dtype() == b.dtype() && a.dtype() == out.dtype());
  if (out.num_elements() == 0) return;
  WithFloatingType(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Multiplier<T>(out.backend(), sizes, 1).Multiply(a.As<T>(), b.As<T>(), write, out.As<T>());
  });
}

void CpuBatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                    bool transpose_b, Write write, const Tensor& out) {
  const size_t rank = out.shape().rank();
  CHECK(rank >= 2 && a.shape().rank() == rank && b.shape().rank() == rank);
  int64_t batch = 1;
  for (size_t i = 0; i < rank - 2; ++i) {
    CHECK(a.shape()[i] == out.shape()[i] && b.shape()[i] == out.shape()[i]);
    batch *= out.shape()[i];
  }
  const Sizes sizes = {out.shape()[rank - 2], out.shape()[rank - 1],
                       a.shape()[transpose_a ? rank - 2 : rank - 1], transpose_a, transpose_b};
  CHECK_EQ(a.shape()[transpose_a ? rank - 1 : rank - 2], sizes.rows);
  CHECK_EQ(b.shape()[transpose_b ? rank - 2 : rank - 1], sizes.columns);
  CHECK_EQ(b.shape()[transpose_b ? rank - 1 : rank - 2], sizes.depth);
  CHECK(a.dtype() == b.dtype() && a.dtype() == out.dtype());
  if (out.num_elements() == 0) return;
  WithFloatingType(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Multiplier<T> multiplier(out.backend(), sizes, scale);
    for (int64_t i = 0; i < batch; ++i) {
      multiplier.Multiply(a.As<T>() + i * sizes.rows * sizes.depth,
                          b.As<T>() + i * sizes.depth * sizes.columns, write,
                          out.As<T>() + i * sizes.rows * sizes.columns);
    }
  });
}

}  // namespace parley
