#ifndef PARLEY_PS_GRADIENT_TILES_H_
#define PARLEY_PS_GRADIENT_TILES_H_

#include <cstddef>

#include "absl/types/optional.h"
#include "absl/types/span.h"

namespace parley {

// A block's gradient that comes a tile at a time, each small enough that it is still in the
// first-level cache when it is used. Thread safety: none.
class GradientTiles {
 public:
  virtual ~GradientTiles() = default;

  // The next elements, valid until the next call; empty at the end. A call says that the tile
  // before was used: its new values are written.
  virtual absl::Span<const float> Next() = 0;

  // The gradient as sums that nobody has formed yet:
  //   ((arrays[0][i] + arrays[1][i]) + ...) * factor, each operation rounded, in this order.
  struct Parts {
    absl::Span<const float* const> arrays;  // two to eight
    float factor;
    size_t size;  // elements of each
  };
  // In the place of Next, for who adds up while it updates: any number of the next elements, valid
  // likewise. Nothing where Next has to be called, now or for all.
  virtual absl::optional<Parts> NextParts() { return absl::nullopt; }
};

}  // namespace parley

#endif  // PARLEY_PS_GRADIENT_TILES_H_
