#ifndef PARLEY_PS_STALENESS_HISTOGRAM_H_
#define PARLEY_PS_STALENESS_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace parley {

// How many gradients had which staleness: each up to 15 by itself, then by powers of two. The last
// of kBuckets has all that is larger. Thread safety: none; owned by ShardState.
class StalenessHistogram {
 public:
  static constexpr size_t kExact = 16;
  static constexpr size_t kBuckets = kExact + 32;

  // staleness >= 0.
  void Add(int64_t staleness) {
    ++counts_[BucketOf(staleness)];
    ++pushes_;
    sum_ += staleness;
    max_ = std::max(max_, staleness);
  }

  static size_t BucketOf(int64_t staleness) {
    if (staleness < static_cast<int64_t>(kExact)) return static_cast<size_t>(staleness);
    size_t bucket = kExact;
    for (int64_t rest = staleness / (2 * static_cast<int64_t>(kExact)); rest > 0; rest /= 2) {
      ++bucket;
    }
    return std::min(bucket, kBuckets - 1);
  }

  // By bucket; without zeros at the end.
  absl::Span<const int64_t> counts() const {
    size_t size = counts_.size();
    while (size > 0 && counts_[size - 1] == 0) --size;
    return absl::MakeConstSpan(counts_.data(), size);
  }
  int64_t pushes() const { return pushes_; }
  int64_t sum() const { return sum_; }
  int64_t max() const { return max_; }

 private:
  std::array<int64_t, kBuckets> counts_ = {};
  int64_t pushes_ = 0;
  int64_t sum_ = 0;
  int64_t max_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_STALENESS_HISTOGRAM_H_
