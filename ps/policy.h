#ifndef PARLEY_PS_POLICY_H_
#define PARLEY_PS_POLICY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "proto/job.pb.h"
#include "ps/correction.h"
#include "ps/policy_registry.h"

namespace parley {

// One worker as one block sees it.
struct WorkerInRound {
  // The step after its last one whose gradient is in an applied or scheduled round, or was dropped;
  // more when it came, or came back, to a job that had gone on without it.
  int64_t clock = 0;
  bool pushed = false;  // its gradient, of `step`, waits in the open round
  int64_t step = 0;
};

// The state of one block that a policy decides from. Workers are in the order of their index.
struct RoundSnapshot {
  int64_t scheduled;  // rounds closed, their result applied or about to be; the open round has this
                      // number
  absl::Span<const WorkerInRound> workers;
  // By worker: 1 unless it has left or, where the policy does not await those, is silent. A worker
  // that has yet to join is awaited.
  absl::Span<const uint8_t> awaited;
};

// A Policy decides when a push becomes visible and when a pull may be answered. It decides and
// never acts. Thread safety: stateless; safe from any thread.
class Policy {
 public:
  virtual ~Policy() = default;

  // Whether the gradient of `worker` for `step`, which this block does not have yet, may enter the
  // open round. The error is what the worker is told.
  virtual absl::Status CheckPush(const RoundSnapshot& round, int worker, int64_t step) const = 0;

  // Whether a gradient of `step`, computed from `base_version` <= round.scheduled, comes too late:
  // it is dropped, and its worker is told so.
  virtual bool IsLate(const RoundSnapshot& round, int64_t step, int64_t base_version) const;

  // Whether the open round, which has at least one gradient, is complete, so that it is closed and
  // applied.
  virtual bool IsComplete(const RoundSnapshot& round) const = 0;

  // Whether a pull of `worker` for `step` may be answered, when the first RoundsFor it are applied.
  virtual bool MayPull(const RoundSnapshot& round, int worker, int64_t step) const = 0;

  // How many rounds such a pull must see: those scheduled by now, where fewer will not do.
  virtual int64_t RoundsFor(const RoundSnapshot& round, int64_t step) const;

  // Whether any pull may be answered with whatever values there are, from round `round` on.
  virtual bool PullsNeverWait(int64_t round) const;

  // The workers that such a pull still waits for.
  virtual std::vector<int> Missing(const RoundSnapshot& round, int worker, int64_t step) const = 0;

  // The step that `worker`, whose next would be `step`, should do next: that, or a later one where
  // the others have gone on without it. Of several blocks the least counts; none: any will do.
  virtual absl::optional<int64_t> NextStep(const RoundSnapshot& round, int worker,
                                           int64_t step) const;

  // How the gradient that closes round `round` by itself, `staleness` rounds behind, is applied.
  virtual Correction CorrectionFor(int64_t round, int64_t staleness) const;

  // Whether round `round` waits for workers of which nothing was heard for a lease. One that is
  // heard of again starts where the slowest of the others is, in a round that did not wait.
  virtual bool AwaitsSilent(int64_t round) const;

  // Whether a worker that fails in round `round`, rather than finishes, fails the job for all.
  virtual bool NeedsEveryWorker(int64_t round) const = 0;

  // Which of a policy's phases round `round` is in, from 0.
  virtual int PhaseOf(int64_t round) const;
};

// The policy that `spec`, found legal by CheckPolicy, declares. INVALID_ARGUMENT when it names none
// that this version knows, or one of the program's own that is not in `registry`.
absl::StatusOr<std::unique_ptr<Policy>> NewPolicy(const v1::Policy& spec, int num_workers,
                                                  const PolicyRegistry& registry = {});

}  // namespace parley

#endif  // PARLEY_PS_POLICY_H_
