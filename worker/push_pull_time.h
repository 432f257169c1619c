#ifndef PARLEY_WORKER_PUSH_PULL_TIME_H_
#define PARLEY_WORKER_PUSH_PULL_TIME_H_

#include <cstdint>

#include "absl/time/time.h"

namespace parley {

// Where the time of a PushPull went, from when it was first sent until its answer was there. What
// the shard says of itself is by its own clock, and only differences of that.
struct PushPullTime {
  absl::Time sent;
  absl::Time answered;
  absl::Duration held;    // by the shard
  absl::Duration waited;  // of that: until the last gradient came that the values waited for
  int waited_for = -1;    // the worker whose gradient that was; -1: nobody
  int64_t pushed_bytes = 0;
  int64_t pulled_bytes = 0;
};

// What a worker waited for.
struct WaitParts {
  absl::Duration wire;     // bytes on their way, up and down, and queued for it
  absl::Duration shard;    // checking, summing, updating, and queued for it
  absl::Duration workers;  // others, whose gradients were not there
  int worker = -1;         // the last of these; -1: none
};

// What the last `wait` of a request was spent on, which is what its worker had nothing else to do
// in. A request goes up, waits at the shard for other workers' gradients, is served there, and its
// answer comes down, in this order; the wire's time is that of both ways by their bytes, and a wait
// longer than the request is the wire's too. Pure.
WaitParts SplitWait(absl::Duration wait, const PushPullTime& request);

}  // namespace parley

#endif  // PARLEY_WORKER_PUSH_PULL_TIME_H_
