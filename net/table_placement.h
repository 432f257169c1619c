#ifndef PARLEY_NET_TABLE_PLACEMENT_H_
#define PARLEY_NET_TABLE_PLACEMENT_H_

#include <cstdint>

namespace parley {

// Where a row of a table lives: its key belongs to a virtual shard, and that to a shard. Every task
// computes the same, in every version: files depend on it. Pure functions.

// The finalizer of MurmurHash3 (Appleby, 2011), a bijection whose every output bit depends on every
// bit of the key.
inline uint64_t MixKey(uint64_t key) {
  key ^= key >> 33;
  key *= 0xff51afd7ed558ccd;
  key ^= key >> 33;
  key *= 0xc4ceb9fe1a85ec53;
  key ^= key >> 33;
  return key;
}

// In [0, virtual_shards), of a mixed key; takes its upper half and leaves the lower one to others.
inline uint32_t VirtualShardOf(uint64_t mixed, uint32_t virtual_shards) {
  return static_cast<uint32_t>(((mixed >> 32) * virtual_shards) >> 32);
}

// The shard that owns a virtual shard: each has a contiguous range, their lengths differ by one at
// most.
inline int ShardOfVirtual(uint32_t virtual_shard, uint32_t virtual_shards, int num_shards) {
  return static_cast<int>(uint64_t{virtual_shard} * static_cast<uint64_t>(num_shards) /
                          virtual_shards);
}

}  // namespace parley

#endif  // PARLEY_NET_TABLE_PLACEMENT_H_
