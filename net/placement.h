#ifndef PARLEY_NET_PLACEMENT_H_
#define PARLEY_NET_PLACEMENT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace parley {

// Which shard owns which block: result[i] is the shard of block i, of block_bytes[i] bytes, for
// `num_shards` >= 1. The largest blocks are placed first, each on the shard with the fewest bytes
// so far (Graham's LPT rule, 1969: at most 4/3 of the best balance); ties go to the lower block and
// the lower shard, so every task computes the same. Pure.
std::vector<int> PlaceBlocks(absl::Span<const int64_t> block_bytes, int num_shards);

}  // namespace parley

#endif  // PARLEY_NET_PLACEMENT_H_
