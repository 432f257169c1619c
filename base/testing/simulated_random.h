#ifndef PARLEY_BASE_TESTING_SIMULATED_RANDOM_H_
#define PARLEY_BASE_TESTING_SIMULATED_RANDOM_H_

#include <cstdint>

#include "absl/time/time.h"

namespace parley {

// SplitMix64 (Steele, Lea and Flood, 2014): seeding it costs nothing. Thread safety: none.
class SimulatedRandom {
 public:
  explicit SimulatedRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [0, end); `end` > 0.
  int64_t Below(int64_t end) { return static_cast<int64_t>(Next() % static_cast<uint64_t>(end)); }
  // Never for `many` 0.
  bool OneIn(int64_t many) { return many > 0 && Below(many) == 0; }
  // In (0, longest], which is at least a nanosecond.
  absl::Duration UpTo(absl::Duration longest) {
    return absl::Nanoseconds(1 + Below(absl::ToInt64Nanoseconds(longest)));
  }
  absl::Duration Between(absl::Duration shortest, absl::Duration longest) {
    return shortest + UpTo(longest - shortest);
  }

 private:
  uint64_t state_;
};

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_SIMULATED_RANDOM_H_
