#include "data/sampler.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/philox.h"

namespace parley::data {

absl::StatusOr<Sampler> Sampler::Create(int64_t examples, int batch_size, int num_workers,
                                        uint64_t seed) {
  if (batch_size < 1 || num_workers < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", batch_size, " for each of ",
                                                   num_workers, " workers: both must be positive"));
  }
  if (int64_t{batch_size} * num_workers > examples) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", batch_size, " for each of ",
                                                   num_workers, " workers is more than the ",
                                                   examples, " examples"));
  }
  return Sampler(examples, batch_size, num_workers, seed);
}

Sampler::Sampler(int64_t examples, int batch_size, int num_workers, uint64_t seed)
    : examples_(examples),
      batch_size_(batch_size),
      num_workers_(num_workers),
      seed_(seed),
      steps_per_epoch_(examples / (int64_t{batch_size} * num_workers)) {}

std::vector<int64_t> Sampler::Indices(int64_t step, int worker) {
  const int64_t epoch = Epoch(step);
  if (epoch != epoch_) Permute(epoch);
  const int64_t begin =
      (step % steps_per_epoch_) * batch_size_ * num_workers_ + int64_t{worker} * batch_size_;
  return {permutation_.begin() + begin, permutation_.begin() + begin + batch_size_};
}

// Fisher and Yates' shuffle, in Durstenfeld's form (1964).
void Sampler::Permute(int64_t epoch) {
  permutation_.resize(static_cast<size_t>(examples_));
  std::iota(permutation_.begin(), permutation_.end(), 0);
  for (int64_t i = examples_ - 1; i > 0; --i) {
    const uint64_t j = PhiloxBelow(seed_, static_cast<uint64_t>(epoch), static_cast<uint64_t>(i),
                                   static_cast<uint64_t>(i) + 1);
    std::swap(permutation_[i], permutation_[j]);
  }
  epoch_ = epoch;
}

}  // namespace parley::data
