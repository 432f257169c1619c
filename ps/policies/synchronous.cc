#include "ps/policies/synchronous.h"

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"

namespace parley {
namespace {

class Synchronous final : public Policy {
 public:
  explicit Synchronous(bool awaits_silent) : awaits_silent_(awaits_silent) {}

  absl::Status CheckPush(const RoundSnapshot& round, int worker, int64_t step) const override {
    if (step > round.scheduled) {
      return absl::FailedPreconditionError(absl::StrCat("a synchronous gradient of step ", step,
                                                        " cannot enter round ", round.scheduled));
    }
    if (step == round.scheduled && round.workers[worker].pushed) {
      return absl::FailedPreconditionError(
          absl::StrCat("it has pushed a gradient of step ", step, " already"));
    }
    return absl::OkStatus();
  }

  bool IsLate(const RoundSnapshot& round, int64_t step, int64_t) const override {
    return step < round.scheduled;
  }

  bool IsComplete(const RoundSnapshot& round) const override {
    if (PARLEY_PLANTED_BUG("round_closed_without_a_live_worker")) return true;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (round.awaited[worker] && !round.workers[worker].pushed) return false;
    }
    return true;
  }

  bool MayPull(const RoundSnapshot& round, int, int64_t step) const override {
    return round.scheduled >= step;
  }

  // A worker that is started again in the middle of a step pulls for it what the others saw. The
  // next round may be closed here already, and need norms from a shard where it waits for this very
  // worker.
  int64_t RoundsFor(const RoundSnapshot& round, int64_t step) const override {
    return step + 1 == round.scheduled ? step : round.scheduled;
  }

  std::vector<int> Missing(const RoundSnapshot& round, int, int64_t step) const override {
    std::vector<int> missing;
    if (round.scheduled >= step) return missing;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (round.awaited[worker] && !round.workers[worker].pushed) {
        missing.push_back(static_cast<int>(worker));
      }
    }
    return missing;
  }

  absl::optional<int64_t> NextStep(const RoundSnapshot& round, int, int64_t step) const override {
    return step + 1 < round.scheduled ? round.scheduled : step;
  }

  bool AwaitsSilent(int64_t) const override { return awaits_silent_; }
  bool NeedsEveryWorker(int64_t) const override { return true; }

 private:
  const bool awaits_silent_;
};

}  // namespace

std::unique_ptr<Policy> NewSynchronous(bool awaits_silent) {
  return std::make_unique<Synchronous>(awaits_silent);
}

}  // namespace parley
