#include "ps/policies/backup_workers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

class BackupWorkers final : public Policy {
 public:
  BackupWorkers(int replicas, bool needs_every_worker, bool awaits_silent)
      : replicas_(replicas),
        needs_every_worker_(needs_every_worker),
        awaits_silent_(awaits_silent) {}

  absl::Status CheckPush(const RoundSnapshot& round, int worker, int64_t step) const override {
    if (!round.workers[worker].pushed) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("its gradient of step ", round.workers[worker].step, " is in round ",
                     round.scheduled, " already, so that of step ", step, " cannot enter it"));
  }

  bool IsLate(const RoundSnapshot& round, int64_t, int64_t base_version) const override {
    return base_version < round.scheduled;
  }

  bool IsComplete(const RoundSnapshot& round) const override {
    const auto pushed = std::count_if(round.workers.begin(), round.workers.end(),
                                      [](const WorkerInRound& worker) { return worker.pushed; });
    return pushed >= replicas_ || Awaited(round).empty();
  }

  bool MayPull(const RoundSnapshot& round, int worker, int64_t step) const override {
    const WorkerInRound& state = round.workers[worker];
    return !state.pushed || state.step >= step;
  }

  std::vector<int> Missing(const RoundSnapshot& round, int worker, int64_t step) const override {
    return MayPull(round, worker, step) ? std::vector<int>() : Awaited(round);
  }

  absl::optional<int64_t> NextStep(const RoundSnapshot& round, int, int64_t step) const override {
    for (const WorkerInRound& worker : round.workers) step = std::max(step, worker.clock);
    return step;
  }

  bool AwaitsSilent(int64_t) const override { return awaits_silent_; }
  bool NeedsEveryWorker(int64_t) const override { return needs_every_worker_; }

 private:
  static std::vector<int> Awaited(const RoundSnapshot& round) {
    std::vector<int> awaited;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (round.awaited[worker] && !round.workers[worker].pushed) {
        awaited.push_back(static_cast<int>(worker));
      }
    }
    return awaited;
  }

  const int replicas_;
  const bool needs_every_worker_;
  const bool awaits_silent_;
};

}  // namespace

std::unique_ptr<Policy> NewBackupWorkers(int replicas, bool needs_every_worker,
                                         bool awaits_silent) {
  return std::make_unique<BackupWorkers>(replicas, needs_every_worker, awaits_silent);
}

}  // namespace parley
