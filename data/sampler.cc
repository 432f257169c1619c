#include "data/sampler.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "base/status.h"

namespace parley::data {

absl::Status Sampler::Check(int64_t examples, int batch_size, int num_workers) {
  if (batch_size < 1 || num_workers < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", batch_size, " for each of ",
                                                   num_workers, " workers: both must be positive"));
  }
  if (int64_t{batch_size} * num_workers > examples) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", batch_size, " for each of ",
                                                   num_workers, " workers is more than the ",
                                                   examples, " examples"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Sampler> Sampler::Create(int64_t examples, int batch_size, int num_workers,
                                        uint64_t seed) {
  PARLEY_RETURN_IF_ERROR(Check(examples, batch_size, num_workers));
  return Sampler(examples, batch_size, num_workers, seed);
}

Sampler::Sampler(int64_t examples, int batch_size, int num_workers, uint64_t seed)
    : examples_(examples),
      batch_size_(batch_size),
      seed_(seed),
      segments_({{0, 0, 0, int64_t{batch_size} * num_workers}}) {}

int64_t Sampler::steps_per_epoch() const { return examples_ / segments_.front().global_batch; }

absl::Status Sampler::SetWorkers(int64_t step, int num_workers) {
  PARLEY_RETURN_IF_ERROR(Check(examples_, batch_size_, num_workers));
  if (step < segments_.back().step) {
    return absl::InvalidArgumentError(absl::StrCat("the workers of step ", segments_.back().step,
                                                   " are known, and come after ", "those of step ",
                                                   step));
  }
  const Place place = PlaceOf(step);
  if (segments_.back().step == step) segments_.pop_back();
  segments_.push_back({step, place.epoch, place.begin, int64_t{batch_size_} * num_workers});
  return absl::OkStatus();
}

Sampler::Place Sampler::PlaceOf(int64_t step) const {
  size_t last = segments_.size() - 1;
  while (segments_[last].step > step) --last;
  const Segment& segment = segments_[last];
  int64_t steps = step - segment.step;
  // What is left of the epoch in which it begins, and then whole ones.
  const int64_t left = (examples_ - segment.begin) / segment.global_batch;
  if (steps < left) {
    return {segment.epoch, segment.begin + steps * segment.global_batch, segment.global_batch};
  }
  steps -= left;
  const int64_t whole = examples_ / segment.global_batch;
  return {segment.epoch + 1 + steps / whole, steps % whole * segment.global_batch,
          segment.global_batch};
}

int64_t Sampler::Epoch(int64_t step) const { return PlaceOf(step).epoch; }

std::vector<int64_t> Sampler::Indices(int64_t step, int worker) {
  const Place place = PlaceOf(step);
  if (int64_t{worker} * batch_size_ >= place.global_batch) return {};
  if (place.epoch != epoch_) Permute(place.epoch);
  const int64_t begin = place.begin + int64_t{worker} * batch_size_;
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
