#ifndef PARLEY_PS_POLICY_H_
#define PARLEY_PS_POLICY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/job.pb.h"
#include "ps/policy_registry.h"

namespace parley {

// One worker as one block sees it.
struct WorkerInRound {
  int64_t clock =
      0;  // steps whose gradient is in an applied or scheduled round (its last one, plus one)
  bool pushed = false;  // its gradient, of `step`, waits in the open round
  int64_t step = 0;
};

// The state of one block that a policy decides from. Workers are in the order of their index.
struct RoundSnapshot {
  int64_t scheduled;  // rounds closed, their result applied or about to be; the open round has this
                      // number
  absl::Span<const WorkerInRound> workers;
  absl::Span<const uint8_t>
      member;  // by worker: 1 unless it has left (a worker that has yet to join is a member)
};

// A Policy decides when a push becomes visible and when a pull may be answered. It decides and
// never acts. Thread safety: stateless; safe from any thread.
class Policy {
 public:
  virtual ~Policy() = default;

  // Whether the gradient of `worker` for `step`, which this block does not have yet, may enter the
  // open round. The error is what the worker is told.
  virtual absl::Status CheckPush(const RoundSnapshot& round, int worker, int64_t step) const = 0;

  // Whether the open round, which has at least one gradient, is complete, so that it is closed and
  // applied.
  virtual bool IsComplete(const RoundSnapshot& round) const = 0;

  // Whether a pull for `step` may be answered, with the values of the rounds scheduled by now.
  virtual bool MayPull(const RoundSnapshot& round, int64_t step) const = 0;

  // The workers that a pull for `step` still waits for.
  virtual std::vector<int> Missing(const RoundSnapshot& round, int64_t step) const = 0;

  // Whether a worker that fails, rather than finishes, fails the job for all.
  virtual bool NeedsEveryWorker() const = 0;
};

// INVALID_ARGUMENT when `spec` names no policy that this version knows, or one of its own that is
// not in `registry`.
absl::StatusOr<std::unique_ptr<Policy>> NewPolicy(const v1::Policy& spec,
                                                  const PolicyRegistry& registry = {});

}  // namespace parley

#endif  // PARLEY_PS_POLICY_H_
