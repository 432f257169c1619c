#ifndef PARLEY_TENSOR_CPU_TILE_H_
#define PARLEY_TENSOR_CPU_TILE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "tensor/ops.h"

namespace parley {

// The product of which all matrix products and convolutions on the CPU are made: a tile of the
// result that stays in registers while the sum runs (Goto and van de Geijn, 2008).

// Rows of a tile at most, and its columns: 16 float or 8 double, one cache line.
constexpr int kTileRows = 6;
template <typename W>
constexpr int kTileColumns = static_cast<int>(64 / sizeof(W));

// Which terms are summed: three nested loops, the last the innermost, that count from 0 to `count`.
// A step of loop i moves in a by a_step[i] elements and in b by b_step[i]; the innermost always by
// one row of a panel.
struct TileWalk {
  int64_t count[3];
  int64_t a_step[3];
  int64_t b_step[2];
};

// c[i][j] = scale * sum over the walk of a[i][walk] * b[walk][j], for i < rows <= kTileRows and
// j < columns <= kTileColumns; or c[i][j] += ... . `b` is a panel: rows of kTileColumns elements,
// all of them readable. The terms are added in the walk's order, each with one rounding (fused
// multiply and add), so that the result of an element does not depend on the tile it is in.
// W is float or double.
template <typename W>
void TileProduct(int rows, int columns, const TileWalk& walk, const W* const* a, const W* b,
                 W scale, Write write, W* const* c);

// The same for a walk whose loops are too short to be loops: a list of its terms, from where they
// are in a and b.
struct TileTerm {
  int64_t a, b;
};
template <typename W>
void TileProductOfTerms(int rows, int columns, absl::Span<const TileTerm> terms, const W* const* a,
                        const W* b, W scale, Write write, W* const* c);

// Cuts `count` rows into as few tiles as possible, of about the same size: visit(first, rows).
template <typename Visit>
void ForEachTile(int64_t count, Visit visit) {
  const int64_t tiles = (count + kTileRows - 1) / kTileRows;
  int64_t begin = 0;
  for (int64_t left = tiles; left > 0; --left) {
    const int64_t rows = (count - begin + left - 1) / left;
    visit(begin, static_cast<int>(rows));
    begin += rows;
  }
}

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_TILE_H_
