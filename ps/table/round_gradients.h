#ifndef PARLEY_PS_TABLE_ROUND_GRADIENTS_H_
#define PARLEY_PS_TABLE_ROUND_GRADIENTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "net/distinct_keys.h"

namespace parley {

// Sums what the pushes of a round say of each key:
//   g = ((g0 + g1) + ...) * factor
// in float32, in the order of the pushes and within one in the order of its keys, as dense
// gradients are summed (ps/sum_tile.h). So the bits depend neither on which keys stand beside each
// other nor on how they are spread over shards. Rows that need no sum are not copied.
// Thread safety: as for a std::vector.
class RoundGradients {
 public:
  struct Push {
    absl::Span<const uint64_t> keys;
    // Row places[i] of `rows` is the gradient of keys[i]; empty: row i.
    absl::Span<const uint32_t> places;
    const float* rows;  // must outlive the RoundGradients
  };

  // Rows have `width` > 0 elements.
  RoundGradients(int width, absl::Span<const Push> pushes, float factor);

  // Distinct, in the order in which they came first.
  const std::vector<uint64_t>& keys() const { return keys_.keys(); }
  // Parallel to them.
  const std::vector<const float*>& gradients() const { return gradients_; }

 private:
  // A row of our own.
  float* NewRow();

  const size_t width_;
  DistinctKeys keys_;
  std::vector<const float*> gradients_;
  std::vector<std::unique_ptr<float[]>> chunks_;
  size_t left_ = 0;  // rows, in the last chunk
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROUND_GRADIENTS_H_
