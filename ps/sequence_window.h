#ifndef PARLEY_PS_SEQUENCE_WINDOW_H_
#define PARLEY_PS_SEQUENCE_WINDOW_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace parley {

// What became of one gradient of a push.
struct TakenPush {
  int64_t staleness = 0;
  bool dropped = false;  // it came too late for its round
  int64_t round = 0;     // the block's version once it is in; not for the sender

  friend bool operator==(const TakenPush& a, const TakenPush& b) {
    return a.staleness == b.staleness && a.dropped == b.dropped;
  }
};

// What a shard remembers of one worker's pushes, so that each is taken at most once: the answers to
// the last kRemembered of them. A number below all these is too old to be told from a repetition,
// and is refused. Thread safety: none; owned by ShardState.
class SequenceWindow {
 public:
  static constexpr size_t kRemembered = 1024;

  struct Answer {
    absl::Status status;
    std::vector<TakenPush> taken;
  };

  // The answer given to `sequence`; null when it is new. Valid until the next Remember.
  const Answer* Find(uint64_t sequence) const {
    const auto it = answers_.find(sequence);
    return it == answers_.end() ? nullptr : &it->second;
  }

  bool IsTooOld(uint64_t sequence) const { return sequence < oldest_; }

  // `sequence` is new and not too old.
  void Remember(uint64_t sequence, Answer answer) {
    answers_.emplace(sequence, std::move(answer));
    if (answers_.size() > kRemembered) {
      oldest_ = std::max(oldest_, answers_.begin()->first + 1);
      answers_.erase(answers_.begin());
    }
  }

  // What an earlier start of this shard had applied of pushes whose answers are not known any more:
  // of each number the blocks. Numbers below `oldest` are too old.
  void Restore(std::map<uint64_t, std::vector<uint32_t>> applied, uint64_t oldest) {
    applied_ = std::move(applied);
    oldest_ = oldest;
  }
  bool WasApplied(uint64_t sequence, uint32_t block) const {
    const auto it = applied_.find(sequence);
    return it != applied_.end() &&
           std::find(it->second.begin(), it->second.end(), block) != it->second.end();
  }

 private:
  std::map<uint64_t, Answer> answers_;
  std::map<uint64_t, std::vector<uint32_t>> applied_;
  uint64_t oldest_ = 1;
};

}  // namespace parley

#endif  // PARLEY_PS_SEQUENCE_WINDOW_H_
