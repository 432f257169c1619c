#ifndef PARLEY_PS_TESTING_HISTORY_H_
#define PARLEY_PS_TESTING_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/job.pb.h"

namespace parley {

// A push of one worker, of every block: what its gradient says that it is.
struct HistoryGradient {
  int worker = 0;
  uint64_t incarnation = 0;
  int64_t step = 0;
  std::vector<int64_t> base;  // by block: the version it was computed from
};

// One thing that happened to a shard, as seen from outside.
struct HistoryEvent {
  enum class Kind {
    kAskedToJoin,  // worker, incarnation, token, deadline
    kHeard,        // worker: a heartbeat
    kAsked,        // worker, token, deadline, pushes (gradient, fresh) and pulls (step)
    kLeft,         // worker
    kTicked,
    kRound,    // block, gradients: was closed
    kApplied,  // block
    kAnswered  // token, code, step
  };
  Kind kind;
  absl::Time time;
  int worker = -1;
  uint64_t incarnation = 0;
  uint64_t token = 0;
  absl::Time deadline = absl::InfiniteFuture();
  bool pushes = false;
  bool fresh = false;  // the push was not sent before
  bool pulls = false;
  int64_t step = 0;  // of a pull, or what an answer says is next
  size_t gradient = 0;
  size_t block = 0;
  std::vector<size_t> gradients;
  absl::StatusCode code = absl::StatusCode::kOk;
};

// What happened in one job, in order. The gradients are those that the events name.
struct History {
  int workers = 0;
  absl::Duration lease, replace_after;
  std::vector<v1::Policy> policies;  // by block
  std::vector<HistoryGradient> gradients;
  std::vector<HistoryEvent> events;
};

// What in `history` breaks a promise of the policies, of leases or of deadlines; empty when nothing
// does. It knows these promises alone and shares no code with what it checks:
//  - a gradient is in at most one round of a block, and no worker has two of one step in a block;
//  - rounds are applied in order, each once, and each has what its policy asks for: synchronous,
//    one gradient of the round's step from every worker that has not left; with backup workers, as
//    many as replicas_to_aggregate, all computed from the round's version, or fewer when all other
//    workers have left or are silent; else one;
//  - a pull is answered with all that its worker has pushed before, and never when the worker is
//    more than the limit ahead of one that is awaited;
//  - each request is answered once, and not after its deadline; what waits has a reason: a worker
//    that is awaited, and not longer than its lease where the policy says so, or a round that is
//    being applied;
//  - one that joins begins where the others are.
std::string FindViolation(const History& history);

// Its events, one a line, for whoever looks for the reason.
std::string Describe(const History& history);

}  // namespace parley

#endif  // PARLEY_PS_TESTING_HISTORY_H_
