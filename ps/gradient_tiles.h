#ifndef PARLEY_PS_GRADIENT_TILES_H_
#define PARLEY_PS_GRADIENT_TILES_H_

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
};

}  // namespace parley

#endif  // PARLEY_PS_GRADIENT_TILES_H_
