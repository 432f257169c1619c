#ifndef PARLEY_BASE_RANDOM_ID_H_
#define PARLEY_BASE_RANDOM_ID_H_

#include <cstdint>
#include <random>

namespace parley {

// A number that nobody else has: 64 random bits, of which the lowest is set, so that it is never 0.
// Safe from any thread.
inline uint64_t RandomId() {
  std::random_device random;
  return (uint64_t{random()} << 32 | random()) | 1;
}

}  // namespace parley

#endif  // PARLEY_BASE_RANDOM_ID_H_
