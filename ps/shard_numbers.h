#ifndef PARLEY_PS_SHARD_NUMBERS_H_
#define PARLEY_PS_SHARD_NUMBERS_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "ps/staleness_histogram.h"

namespace parley {

// Where a shard stands, as somebody sees who looks at it. Counts are since this start of its task.
struct ShardNumbers {
  struct Worker {
    bool live = false;  // has joined and not left
    bool left = false;
    bool silent = false;  // live, but its lease has ended, and it has not pulled since
    int64_t clock = 0;    // steps of it in every block
    // How long it was not heard of; zero unless it is live.
    absl::Duration silence;
    // Over the rounds of blocks in which its gradient came last: how long the first one waited.
    absl::Duration waited_for;
  };
  std::vector<Worker>
      workers;            // by index; more than `members` where others have left, or are to come
  int members = 0;        // that the job has
  int workers_asked = 0;  // and is to have; 0: nobody has asked, or it has them
  // Likewise, over rounds that were complete when a worker left or fell silent.
  absl::Duration waited_for_membership;

  int64_t blocks = 0;
  int64_t bytes = 0;  // of parameters
  // Over the blocks: the rounds applied, those closed and not applied, and the least and greatest
  // version.
  int64_t rounds = 0;
  int64_t rounds_queued = 0;
  int64_t min_version = 0;
  int64_t max_version = 0;

  StalenessHistogram staleness;  // of the block gradients that were taken into a round
  int64_t late = 0;              // block gradients that their policy dropped
  int64_t duplicate = 0;         // block gradients that had come before

  // Requests that wait for an answer.
  int64_t push_pulls_waiting = 0;
  int64_t joins_waiting = 0;
  int64_t barriers_waiting = 0;

  int64_t bytes_pushed = 0;  // of payloads taken
  int64_t bytes_pulled = 0;  // of payloads sent

  // What is not written down yet, where there is a log.
  absl::optional<int64_t> log_waiting;  // batches of records
  // What the copy at another task has not, where one is to be kept.
  struct Replica {
    bool whole = false;   // the copy has every block
    int64_t waiting = 0;  // batches of records that it has not
    absl::Duration lag;   // the age of the oldest of these
  };
  absl::optional<Replica> replica;
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_NUMBERS_H_
