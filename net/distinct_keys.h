#ifndef PARLEY_NET_DISTINCT_KEYS_H_
#define PARLEY_NET_DISTINCT_KEYS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "net/table_placement.h"

namespace parley {

// Numbers keys in the order in which they come first. Thread safety: as for a std::vector.
class DistinctKeys {
 public:
  // For at most `most` calls of Add, < 2^31.
  explicit DistinctKeys(size_t most) {
    keys_.reserve(most);
    size_t places = 2;
    while (places < most * 2) places *= 2;
    index_.resize(places, 0);
  }

  // The key's number; that of a new one is what keys().size() was.
  size_t Add(uint64_t key) {
    // Open addressing, at most half full. The lower bits of the mixed key, for the upper ones say
    // where it lives.
    const size_t mask = index_.size() - 1;
    size_t at = MixKey(key) & mask;
    while (index_[at] != 0) {
      if (keys_[index_[at] - 1] == key) return index_[at] - 1;
      at = (at + 1) & mask;
    }
    keys_.push_back(key);
    index_[at] = static_cast<uint32_t>(keys_.size());
    return keys_.size() - 1;
  }

  const std::vector<uint64_t>& keys() const { return keys_; }

 private:
  std::vector<uint64_t> keys_;
  std::vector<uint32_t> index_;  // the number of a key, plus one; 0: free
};

}  // namespace parley

#endif  // PARLEY_NET_DISTINCT_KEYS_H_
