#ifndef PARLEY_WORKER_REQUEST_PLAN_H_
#define PARLEY_WORKER_REQUEST_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "net/job.h"

namespace parley {

// A piece of a parameter on its way: up (gradient), down (target), or both.
struct PlannedBlock {
  uint32_t block;         // number in the job
  int64_t size;           // elements
  const float* gradient;  // null: not pushed
  bool pulled;
  float* target;  // of what is pulled; null: left where it is
  bool awaited;   // the call pulls it, by this request or another
};

// What a call pulls of one parameter.
struct PullPart {
  bool pulled = false;
  float* target = nullptr;  // its row-major values; null: they are left where they are
};

// One PushPull request to one shard, its blocks ascending.
struct PlannedRequest {
  int shard;
  std::vector<PlannedBlock> blocks;
  bool skip = false;  // pushes all its blocks without gradients
};

// Cuts a call's parameters into requests. `gradients` has one pointer for each of the job's
// parameters: its row-major values, or null where it takes no part; `pulls` has one part for each.
//
// Blocks of a shard travel together until a request would carry more than `request_bytes` in either
// direction; a block is never cut, so a request may be larger by being one block. A shard whose
// blocks need at most `max_fused` requests gets each block's gradient and target in one of them. A
// shard that needs more gets separate requests with only gradients, which come first, and with only
// targets: those the session sends a few at a time, and a gradient must not queue behind a pull
// that waits for it. Requests are ordered by shard. Pure.
std::vector<PlannedRequest> PlanRequests(const Job& job, absl::Span<const float* const> gradients,
                                         absl::Span<const PullPart> pulls, size_t request_bytes,
                                         size_t max_fused);

// One request to each shard that has blocks: a push of all of them without gradients. Pure.
std::vector<PlannedRequest> PlanSkip(const Job& job);

}  // namespace parley

#endif  // PARLEY_WORKER_REQUEST_PLAN_H_
