#ifndef PARLEY_WORKER_VERDICT_H_
#define PARLEY_WORKER_VERDICT_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "worker/trainer.h"

namespace parley {

// What of a job an advice may change.
struct JobShape {
  int workers = 1;
  int shards = 1;
  std::string policy = "sync";  // as in --policy, the first of several
  bool is_half = false;         // gradients and parameters travel in 16 bits
  int64_t batch_size = 0;       // 0: it has none
};

// Where a worker's steps went: time summed over them, and what moved in them.
struct StepShares {
  int64_t steps = 0;
  absl::Duration whole;
  absl::Duration compute;
  absl::Duration wire;                    // waiting for it, and handing over what it carries
  absl::Duration shards;                  // waiting for them
  std::map<int, absl::Duration> workers;  // waiting for each; -1: it is not known for whom
  double bytes_per_step = 0;              // pushed and pulled
  double alone_bytes_per_second = 0;      // of a pull of all parameters, while nobody trained;
                                          // 0: there was none

  absl::Duration for_workers() const;
  // The one waited for longest; -1: none.
  int slowest() const;
};

// Follows training and adds up. The first step, which warms up, is left out. Thread safety: none;
// called by the thread that runs the Trainer.
class StepShareSum final : public TrainingObserver {
 public:
  // `client` must outlive it.
  explicit StepShareSum(const Client* client) : client_(client) {}
  void OnStep(const Progress& progress) override;
  // With what was measured when all had trained, where that was.
  StepShares Shares(const TrainingSummary& summary) const;

 private:
  const Client* const client_;
  bool warm_ = false;
  int64_t bytes_before_ = 0;  // moved until the first step's end
  int64_t bytes_now_ = 0;     // and until the last one's
  StepShares sum_;
};

// What to do, from the largest share that can be changed: a flag and why; never empty. Pure.
std::string Advise(const StepShares& shares, const JobShape& job);

// The verdict as lines of the chief's table, each beginning with "| "; the last is the advice. None
// of no steps. Pure.
std::string FormatVerdict(const StepShares& shares, const JobShape& job);

// The same in one line, for another worker's log; empty of no steps. Pure.
std::string FormatVerdictLine(const StepShares& shares, const JobShape& job);

}  // namespace parley

#endif  // PARLEY_WORKER_VERDICT_H_
