#ifndef PARLEY_DATA_PREFETCHER_H_
#define PARLEY_DATA_PREFETCHER_H_

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "data/dataset.h"
#include "data/sampler.h"

namespace parley::data {

// A Prefetcher prepares one worker's batches on a thread of its own, step after step, a few ahead
// of the one in use. Thread safety: Next is for one thread. The batch it returns stays valid, and
// is the caller's, until the next call. Owns its thread, which the destructor ends and joins.
class Prefetcher {
 public:
  // Begins with `first_step`; at most `depth` >= 1 batches wait.
  Prefetcher(std::shared_ptr<const Dataset> dataset, Sampler sampler, int worker,
             int64_t first_step, int depth = 2);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The batch of the next step. Waits until it is ready: the thread only copies memory and always
  // gets there.
  const Batch& Next();

 private:
  void Run();

  const std::shared_ptr<const Dataset> dataset_;
  const int worker_;
  Sampler sampler_;  // prefetching thread only
  int64_t step_;     // prefetching thread only: the next to prepare
  Batch current_;    // caller only

  Mutex mutex_;
  CondVar changed_;
  std::deque<Batch> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<Batch> spare_ ABSL_GUARDED_BY(mutex_);  // buffers to fill
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after construction
};

}  // namespace parley::data

#endif  // PARLEY_DATA_PREFETCHER_H_
