#include "ps/pulled_values.h"

#include <utility>

namespace parley {

PulledValues::PulledValues(size_t blocks) : blocks_(blocks) {}

void PulledValues::Keep(int worker, size_t block, BlockSnapshot snapshot) {
  MutexLock lock(&mutex_);
  if (static_cast<size_t>(worker) >= kept_.size()) kept_.resize(static_cast<size_t>(worker) + 1);
  std::vector<BlockSnapshot>& kept = kept_[static_cast<size_t>(worker)];
  kept.resize(blocks_);
  std::swap(kept[block], snapshot);  // the one before ends after the lock
}

std::shared_ptr<const float> PulledValues::Find(int worker, size_t block, int64_t version) const {
  MutexLock lock(&mutex_);
  if (worker < 0 || static_cast<size_t>(worker) >= kept_.size()) return nullptr;
  const std::vector<BlockSnapshot>& kept = kept_[static_cast<size_t>(worker)];
  if (block >= kept.size() || kept[block].version != version) return nullptr;
  return kept[block].values;
}

void PulledValues::Forget(int worker) {
  std::vector<BlockSnapshot> kept;  // ends outside the lock
  MutexLock lock(&mutex_);
  if (worker < 0 || static_cast<size_t>(worker) >= kept_.size()) return;
  kept.swap(kept_[static_cast<size_t>(worker)]);
}

}  // namespace parley
