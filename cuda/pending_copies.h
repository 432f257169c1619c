#ifndef PARLEY_CUDA_PENDING_COPIES_H_
#define PARLEY_CUDA_PENDING_COPIES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace parley {

// A piece of device memory.
struct MemoryRange {
  const void* begin = nullptr;
  size_t bytes = 0;

  bool Overlaps(const MemoryRange& other) const {
    const auto a = reinterpret_cast<uintptr_t>(begin), b = reinterpret_cast<uintptr_t>(other.begin);
    return bytes > 0 && other.bytes > 0 && a < b + other.bytes && b < a + bytes;
  }
};

// PendingCopies are the copies that run beside the order of computations, and may not be done: what
// makes that order appear to hold. A computation has to wait for those, and only those, whose
// memory it uses: for one that writes the memory it reads, for any whose memory it writes.
//
// `Event` has `bool done() const`, which stays true once it is. Thread safety: none.
// Invariant: what a copy was given to keep is kept until its event is done, or for as long as this.
template <typename Event>
class PendingCopies {
 public:
  // A copy that writes `range` of the device's memory (from the host), or reads it.
  void Add(MemoryRange range, bool writes, std::shared_ptr<Event> event,
           std::shared_ptr<void> keep) {
    Sweep();
    copies_.push_back({range, writes, std::move(event), std::move(keep)});
  }

  // Keeps `keep` until `event` is done.
  void Keep(std::shared_ptr<Event> event, std::shared_ptr<void> keep) {
    Add({}, /*writes=*/false, std::move(event), std::move(keep));
  }

  // The events for which a computation that reads or writes `range` has to wait; each is told once,
  // for what is enqueued behind the wait is behind the copy too.
  std::vector<std::shared_ptr<Event>> TakeConflicts(const MemoryRange& range, bool writes) {
    std::vector<std::shared_ptr<Event>> events;
    for (Copy& copy : copies_) {
      if (!copy.range.Overlaps(range) || !(writes || copy.writes)) continue;
      events.push_back(copy.event);
      copy.range = {};
    }
    return events;
  }

  // Forgets what is done.
  void Sweep() {
    copies_.erase(std::remove_if(copies_.begin(), copies_.end(),
                                 [](const Copy& copy) { return copy.event->done(); }),
                  copies_.end());
  }

  bool empty() const { return copies_.empty(); }

 private:
  struct Copy {
    MemoryRange range;  // empty once computations are behind it
    bool writes;
    std::shared_ptr<Event> event;
    std::shared_ptr<void> keep;
  };

  std::vector<Copy> copies_;
};

}  // namespace parley

#endif  // PARLEY_CUDA_PENDING_COPIES_H_
