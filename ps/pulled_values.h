#ifndef PARLEY_PS_PULLED_VALUES_H_
#define PARLEY_PS_PULLED_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "ps/block.h"

namespace parley {

// PulledValues keeps, for each worker and block, the values that the worker has pulled last, so
// that a gradient can be compensated for what has changed since. It holds at most one version of a
// block for each worker. Thread safety: safe from any thread.
class PulledValues {
 public:
  explicit PulledValues(size_t blocks);

  // Worker `worker`, one that has joined, is sent `snapshot` of block `block`, in [0, blocks).
  void Keep(int worker, size_t block, BlockSnapshot snapshot);
  // The values of `version`, if the worker was sent these last; else, or when there is no such
  // worker, null.
  std::shared_ptr<const float> Find(int worker, size_t block, int64_t version) const;
  // Lets go of all that is kept for the worker.
  void Forget(int worker);

 private:
  const size_t blocks_;
  mutable Mutex mutex_;
  std::vector<std::vector<BlockSnapshot>> kept_ ABSL_GUARDED_BY(mutex_);  // by worker, block
};

}  // namespace parley

#endif  // PARLEY_PS_PULLED_VALUES_H_
