#include "tensor/cpu_reduce.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"
#include "tensor/strides.h"

namespace parley {
namespace {

// The dimensions of x; the second array is the result, which stays where a dimension is reduced.
Loop<2> LoopOf(const Shape& x, const Shape& out) {
  bool fits = out.rank() <= x.rank();
  for (size_t i = 1; fits && i <= out.rank(); ++i) {
    fits = out[out.rank() - i] == 1 || out[out.rank() - i] == x[x.rank() - i];
  }
  CHECK(fits) << "reduce " << x.ToString() << " to " << out.ToString();
  const std::vector<int64_t> from = StridesOf(x), to = BroadcastStrides(out, x.rank());
  Loop<2> loop;
  for (size_t d = 0; d < x.rank(); ++d) loop.push_back({x[d], {from[d], to[d]}});
  return Collapsed(loop);
}

// totals[j] += the sum of column j of a [rows, columns] matrix.
template <typename T>
void AddColumns(const T* x, int64_t rows, int64_t columns, double* totals) {
  constexpr int64_t kNarrow = 64;
  // Of a narrow matrix, several rows at once are one of a wider one.
  const int64_t joined = columns < kNarrow ? kNarrow / columns : 1;
  if (joined > 1 && rows >= 2 * joined) {
    const int64_t wide = joined * columns, steps = rows / joined;
    std::vector<double> parts(PaddedTo(wide), 0.0);
    AddColumns(x, steps, wide, parts.data());
    for (int64_t k = 0; k < wide; ++k) totals[k % columns] += parts[k];
    x += steps * wide;
    rows -= steps * joined;
  }
  SumColumns<T, 1>(rows, columns, {totals}, [&](int64_t row, int64_t j, auto place, Lanes<T>* sum) {
    sum[0] = sum[0] + Load(x + row * columns + j, place);
  });
}

template <typename T>
void TakeLargestOfColumns(const T* x, int64_t rows, int64_t columns, WorkType<T>* largest) {
  for (int64_t begin = 0; begin < rows; begin += 8) {
    const int64_t end = std::min<int64_t>(begin + 8, rows);
    ForLanes<T>(columns, [&](int64_t j, auto place) {
      Lanes<T> best = Load(largest + j, place);
      for (int64_t row = begin; row < end; ++row) {
        best = Larger(Load(x + row * columns + j, place), best);
      }
      Store(largest + j, best, place);
    });
  }
}

// Calls row(x, count, out) for each run of reduced elements, or columns(x, rows, columns, out) for
// each matrix whose rows are reduced.
template <typename Row, typename Columns>
void ForEachPart(const Loop<2>& loop, Row row, Columns columns) {
  const size_t depth = loop.size();
  if (depth == 0) return columns(0, 1, 1, 0);
  const LoopDimension<2>& last = loop[depth - 1];
  if (last.strides[1] == 0) {
    ForEachStep(loop, depth - 1,
                [&](const std::array<int64_t, 2>& at) { row(at[0], last.size, at[1]); });
  } else if (depth == 1) {
    columns(0, 1, last.size, 0);
  } else {
    // The dimension before is reduced, or else they would be one.
    ForEachStep(loop, depth - 2, [&](const std::array<int64_t, 2>& at) {
      columns(at[0], loop[depth - 2].size, last.size, at[1]);
    });
  }
}

template <typename T>
void Sum(const Loop<2>& loop, const T* x, int64_t count, Write write, T* out) {
  using W = WorkType<T>;
  std::vector<double> totals(PaddedTo(count), 0.0);
  std::vector<double> columns_of;  // padded, where the matrix's columns are not all of `totals`
  ForEachPart(
      loop,
      [&](int64_t from, int64_t length, int64_t to) {
        totals[to] += SumLanes<T>(
            length, [row = x + from](int64_t i, auto place) { return Load(row + i, place); });
      },
      [&](int64_t from, int64_t rows, int64_t columns, int64_t to) {
        if (to + PaddedTo(columns) <= static_cast<int64_t>(totals.size())) {
          // What AddColumns writes beyond the columns are sums of zeros.
          AddColumns(x + from, rows, columns, totals.data() + to);
        } else {
          columns_of.assign(PaddedTo(columns), 0.0);
          AddColumns(x + from, rows, columns, columns_of.data());
          for (int64_t j = 0; j < columns; ++j) totals[to + j] += columns_of[j];
        }
      });
  std::vector<W> sums(totals.begin(), totals.begin() + count);
  Narrow(sums.data(), count, write, out);
}

template <typename T>
void Max(const Loop<2>& loop, const T* x, int64_t count, Write write, T* out) {
  using W = WorkType<T>;
  std::vector<W> largest(count, -std::numeric_limits<W>::infinity());
  ForEachPart(
      loop,
      [&](int64_t from, int64_t length, int64_t to) {
        const W value = MaxOf(x + from, length);
        if (value > largest[to] || value != value) largest[to] = value;
      },
      [&](int64_t from, int64_t rows, int64_t columns, int64_t to) {
        TakeLargestOfColumns(x + from, rows, columns, largest.data() + to);
      });
  Narrow(largest.data(), count, write, out);
}

}  // namespace

void CpuReduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) {
  CHECK(x.dtype() == out.dtype()) << NameOf(x.dtype()) << " to " << NameOf(out.dtype());
  Loop<2> loop = LoopOf(x.shape(), out.shape());
  const int64_t count = out.num_elements();
  if (x.num_elements() == 0) loop = {{0, {0, 0}}};
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    switch (reduction) {
      case Reduction::kSum:
        return count == 0 ? void() : Sum(loop, x.As<const T>(), count, write, out.As<T>());
      case Reduction::kMax:
        return count == 0 ? void() : Max(loop, x.As<const T>(), count, write, out.As<T>());
    }
  });
}

}  // namespace parley
