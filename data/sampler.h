#ifndef PARLEY_DATA_SAMPLER_H_
#define PARLEY_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace parley::data {

// Which examples a batch has: a pure function of (seed, step, worker), so that a run can be resumed
// exactly. An epoch is a permutation of all examples, cut into global batches of batch_size *
// num_workers; worker w takes the w-th piece of each. So no two workers share an example within an
// epoch, and all are used but the tail that fills no global batch. A run may be resumed with other
// workers: as long as batch_size * num_workers stays, so do the global batches. Thread safety: none
// (it keeps the permutation of the last epoch asked for).
class Sampler {
 public:
  // INVALID_ARGUMENT when a number is not positive or one global batch is more than `examples`.
  static absl::StatusOr<Sampler> Create(int64_t examples, int batch_size, int num_workers,
                                        uint64_t seed);

  int64_t steps_per_epoch() const { return steps_per_epoch_; }

  // The epoch, from 0, that `step` >= 0 belongs to.
  int64_t Epoch(int64_t step) const { return step / steps_per_epoch_; }

  // The batch_size examples of `worker`, in [0, num_workers), at `step` >= 0.
  std::vector<int64_t> Indices(int64_t step, int worker);

 private:
  Sampler(int64_t examples, int batch_size, int num_workers, uint64_t seed);
  void Permute(int64_t epoch);

  int64_t examples_;
  int batch_size_;
  int num_workers_;
  uint64_t seed_;
  int64_t steps_per_epoch_;
  int64_t epoch_ = -1;  // of permutation_
  std::vector<int64_t> permutation_;
};

}  // namespace parley::data

#endif  // PARLEY_DATA_SAMPLER_H_
