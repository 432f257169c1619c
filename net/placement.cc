#include "net/placement.h"

#include <algorithm>
#include <numeric>

namespace parley {

std::vector<int> PlaceBlocks(absl::Span<const int64_t> block_bytes, int num_shards) {
  std::vector<size_t> order(block_bytes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return block_bytes[a] > block_bytes[b]; });
  std::vector<int64_t> load(num_shards, 0);
  std::vector<int> shard_of(block_bytes.size());
  for (const size_t block : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += block_bytes[block];
    shard_of[block] = static_cast<int>(least - load.begin());
  }
  return shard_of;
}

}  // namespace parley
