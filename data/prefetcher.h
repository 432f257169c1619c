#ifndef PARLEY_DATA_PREFETCHER_H_
#define PARLEY_DATA_PREFETCHER_H_

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "data/dataset.h"
#include "data/sampler.h"

namespace parley::data {

// A Prefetcher prepares one worker's batches on a thread of its own, step after step, a few ahead
// of the one in use. Thread safety: Next is for one thread. The batch it returns belongs to the
// Prefetcher and stays as it is until Next returns another one; its buffers are then filled anew.
// Owns its thread, which the destructor ends and joins: that takes as long as one Dataset::Fill.
class Prefetcher {
 public:
  // Begins with `first_step` >= 0; a step in which the worker has no part has an empty batch. At
  // most `depth` batches wait (less than 1 counts as 1).
  Prefetcher(std::shared_ptr<const Dataset> dataset, Sampler sampler, int worker,
             int64_t first_step, int depth = 2);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The batch of the next step, once it is ready. DEADLINE_EXCEEDED, naming worker and step, when
  // it is not within `timeout`; the batch of before is then still valid, and the next call waits
  // for the same step. The pointer is never null.
  absl::StatusOr<const Batch*> Next(absl::Duration timeout);

 private:
  void Run();

  const std::shared_ptr<const Dataset> dataset_;
  const int worker_;
  Sampler sampler_;    // prefetching thread only
  int64_t step_;       // prefetching thread only: the next to prepare
  Batch current_;      // caller only
  int64_t next_step_;  // caller only: of the batch that Next gives next

  Mutex mutex_;
  CondVar changed_;
  std::deque<Batch> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<Batch> spare_ ABSL_GUARDED_BY(mutex_);  // buffers to fill
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after construction
};

}  // namespace parley::data

#endif  // PARLEY_DATA_PREFETCHER_H_
