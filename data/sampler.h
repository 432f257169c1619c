#ifndef PARLEY_DATA_SAMPLER_H_
#define PARLEY_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace parley::data {

// Which examples a batch has: a pure function of (seed, step, worker), so that a run can be resumed
// exactly. An epoch is a permutation of all examples, cut into global batches of batch_size *
// num_workers; worker w takes the w-th piece of each. So no two workers share an example within an
// epoch, and all are used but the tail that fills no global batch. A run may be resumed with other
// workers: as long as batch_size * num_workers stays, so do the global batches. Where the number of
// workers changes at a step, the epoch goes on behind the batches of the steps before. Thread
// safety: none (it keeps the permutation of the last epoch asked for).
class Sampler {
 public:
  // INVALID_ARGUMENT when a number is not positive or one global batch is more than `examples`.
  static absl::StatusOr<Sampler> Create(int64_t examples, int batch_size, int num_workers,
                                        uint64_t seed);

  // With the number of workers that the job begins with.
  int64_t steps_per_epoch() const;

  // There are `num_workers` from `step` on; the steps are >= those of earlier calls.
  // INVALID_ARGUMENT, and no change, as by Create, or for a step below.
  absl::Status SetWorkers(int64_t step, int num_workers);

  // The epoch, from 0, that `step` >= 0 belongs to.
  int64_t Epoch(int64_t step) const;

  // The batch_size examples of `worker` at `step` >= 0; none of one that is not among the workers
  // there.
  std::vector<int64_t> Indices(int64_t step, int worker);

 private:
  // From `step` on, where the epoch `epoch` has come to its example `begin`, and with
  // `global_batch` examples for each step.
  struct Segment {
    int64_t step;
    int64_t epoch;
    int64_t begin;
    int64_t global_batch;
  };
  // Where the examples of a step begin, and how many they are.
  struct Place {
    int64_t epoch;
    int64_t begin;
    int64_t global_batch;
  };

  Sampler(int64_t examples, int batch_size, int num_workers, uint64_t seed);
  static absl::Status Check(int64_t examples, int batch_size, int num_workers);
  Place PlaceOf(int64_t step) const;
  void Permute(int64_t epoch);

  int64_t examples_;
  int batch_size_;
  uint64_t seed_;
  std::vector<Segment> segments_;  // ascending, the first of step 0
  int64_t epoch_ = -1;             // of permutation_
  std::vector<int64_t> permutation_;
};

}  // namespace parley::data

#endif  // PARLEY_DATA_SAMPLER_H_
