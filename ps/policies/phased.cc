#include "ps/policies/phased.h"

#include <utility>

namespace parley {
namespace {

class Phased final : public Policy {
 public:
  explicit Phased(std::vector<PolicyPhase> phases) : phases_(std::move(phases)) {}

  absl::Status CheckPush(const RoundSnapshot& round, int worker, int64_t step) const override {
    return Of(round.scheduled).CheckPush(round, worker, step);
  }
  bool IsLate(const RoundSnapshot& round, int64_t step, int64_t base_version) const override {
    return Of(round.scheduled).IsLate(round, step, base_version);
  }
  bool IsComplete(const RoundSnapshot& round) const override {
    return Of(round.scheduled).IsComplete(round);
  }
  bool MayPull(const RoundSnapshot& round, int worker, int64_t step) const override {
    return Of(round.scheduled).MayPull(round, worker, step);
  }
  int64_t RoundsFor(const RoundSnapshot& round, int64_t step) const override {
    return Of(round.scheduled).RoundsFor(round, step);
  }
  std::vector<int> Missing(const RoundSnapshot& round, int worker, int64_t step) const override {
    return Of(round.scheduled).Missing(round, worker, step);
  }
  absl::optional<int64_t> NextStep(const RoundSnapshot& round, int worker,
                                   int64_t step) const override {
    return Of(round.scheduled).NextStep(round, worker, step);
  }
  Correction CorrectionFor(int64_t round, int64_t staleness) const override {
    return Of(round).CorrectionFor(round, staleness);
  }
  bool PullsNeverWait(int64_t round) const override { return Of(round).PullsNeverWait(round); }
  bool AwaitsSilent(int64_t round) const override { return Of(round).AwaitsSilent(round); }
  bool NeedsEveryWorker(int64_t round) const override { return Of(round).NeedsEveryWorker(round); }

  int PhaseOf(int64_t round) const override {
    size_t phase = 0;
    while (phase + 1 < phases_.size() && round >= phases_[phase].end) ++phase;
    return static_cast<int>(phase);
  }

 private:
  const Policy& Of(int64_t round) const { return *phases_[PhaseOf(round)].policy; }

  const std::vector<PolicyPhase> phases_;
};

}  // namespace

std::unique_ptr<Policy> NewPhased(std::vector<PolicyPhase> phases) {
  return std::make_unique<Phased>(std::move(phases));
}

}  // namespace parley
