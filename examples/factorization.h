#ifndef PARLEY_EXAMPLES_FACTORIZATION_H_
#define PARLEY_EXAMPLES_FACTORIZATION_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace parley {

// Who rates what how, made up: rating i, a function of (seed, i) alone, is that of a random user
// and item,
//   3.5 + b[user] + c[item] + <p[user], q[item]> + noise
// so the noise's deviation is the least error that any model can have.
// Thread safety: immutable.
class Ratings {
 public:
  static constexpr double kNoise = 0.5;

  Ratings(uint64_t users, uint64_t items, uint64_t seed)
      : users_(users), items_(items), seed_(seed) {}

  struct Rating {
    uint64_t user;
    uint64_t item;
    float value;
  };
  Rating Get(uint64_t i) const;

 private:
  const uint64_t users_;
  const uint64_t items_;
  const uint64_t seed_;
};

struct FactorizationOptions {
  uint64_t users = 1000;
  uint64_t items = 500;
  int rank = 8;
  int workers = 2;
  int shards = 2;
  int64_t steps = 1000;  // of each worker
  int batch_size = 1024;
  float learning_rate = 0.1f;
  uint64_t seed = 1;
};

// Learns the ratings with two tables, "users" and "items", whose rows are a bias and a vector each
// (matrix factorisation: Koren, Bell and Volinsky, 2009), asynchronously. Returns the root mean
// square error over ratings that were not trained on.
absl::StatusOr<double> LearnRatings(const FactorizationOptions& options);

}  // namespace parley

#endif  // PARLEY_EXAMPLES_FACTORIZATION_H_
