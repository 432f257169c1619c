#ifndef PARLEY_WORKER_ROW_CACHE_H_
#define PARLEY_WORKER_ROW_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "base/mutex.h"

namespace parley {

// Of each table of a client.
struct RowCacheOptions {
  size_t bytes = 0;  // that it takes at most; 0: there is none
  // A row that was pulled for step s answers pulls for steps s to s + staleness.
  int64_t staleness = 0;
  // A row stays when this worker pushes a gradient for it: until it is too old it is shown as it
  // was before. Otherwise what this worker has pushed is always in what it sees.
  bool keep_pushed = false;
};

// A RowCache has rows of one table that this worker pulled a few steps ago, so that hot ones need
// not travel in every step. Those that were not asked for lately go first (the second-chance rule:
// Corbato, 1968).
//
// What it promises of a row that it gives to a pull for step s:
//   (1) it was asked of the shards for a step in [s - staleness, s];
//   (2) unless keep_pushed, it was asked for after every push of the row by this worker that had
//       begun before the pull: BeginPush drops it, and a pull puts a row here only when no push of
//       it was under way at any time between the pull's begin and its end.
//
// Thread safety: safe from any thread.
class RowCache {
 public:
  // `width` of a row, >= 1.
  RowCache(size_t width, const RowCacheOptions& options);

  using Ticket = uint64_t;

  // A pull for `step` of these distinct keys begins. found[i] says whether row i of `rows` is
  // written. EndPull must follow.
  Ticket BeginPull(int64_t step, absl::Span<const uint64_t> keys, std::vector<bool>* found,
                   absl::Span<float> rows);
  // It has ended, and these are the rows that came, of keys[i] at rows[i]; or none.
  void EndPull(Ticket ticket, absl::Span<const uint64_t> keys, absl::Span<const float* const> rows);

  // A push of these keys begins, or ends, whatever came of it.
  Ticket BeginPush(absl::Span<const uint64_t> keys);
  void EndPush(Ticket ticket);

  struct Counts {
    int64_t hits = 0;  // distinct keys of a pull
    int64_t misses = 0;
    int64_t bytes = 0;  // that the rows take, with all that belongs to them
  };
  Counts counts() const;

 private:
  struct Entry {
    uint64_t key;
    int64_t step;
    bool used;  // since the hand came by
  };
  struct Push {
    absl::flat_hash_set<uint64_t> keys;
    Ticket ended;  // the largest ticket while it is under way
  };

  void Insert(uint64_t key, int64_t step, const float* row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t FreePlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets pushes that ended before every pull that is under way began.
  void ForgetPushes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t width_;
  const RowCacheOptions options_;
  const size_t most_;  // entries

  mutable Mutex mutex_;
  absl::flat_hash_map<uint64_t, uint32_t> places_ ABSL_GUARDED_BY(mutex_);
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<float> rows_ ABSL_GUARDED_BY(mutex_);     // by place
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);  // places
  size_t hand_ ABSL_GUARDED_BY(mutex_) = 0;
  Ticket next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<Ticket, int64_t> pulls_ ABSL_GUARDED_BY(mutex_);  // under way: their steps
  std::list<std::pair<Ticket, Push>> pushes_ ABSL_GUARDED_BY(mutex_);   // by the order of begins
  int64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t misses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_ROW_CACHE_H_
