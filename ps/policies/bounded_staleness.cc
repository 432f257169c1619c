#include "ps/policies/bounded_staleness.h"

#include <algorithm>

namespace parley {
namespace {

class BoundedStaleness final : public Policy {
 public:
  BoundedStaleness(int limit, CorrectionRule rule) : limit_(limit), rule_(rule) {}

  absl::Status CheckPush(const RoundSnapshot&, int, int64_t) const override {
    return absl::OkStatus();
  }
  bool IsComplete(const RoundSnapshot&) const override { return true; }

  bool MayPull(const RoundSnapshot& round, int worker, int64_t step) const override {
    return Missing(round, worker, step).empty();
  }

  std::vector<int> Missing(const RoundSnapshot& round, int, int64_t step) const override {
    std::vector<int> missing;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (round.awaited[worker] && round.workers[worker].clock < step - limit_) {
        missing.push_back(static_cast<int>(worker));
      }
    }
    return missing;
  }

  absl::optional<int64_t> NextStep(const RoundSnapshot& round, int worker,
                                   int64_t step) const override {
    return std::max(step, round.workers[worker].clock);
  }

  Correction CorrectionFor(int64_t, int64_t staleness) const override {
    return rule_.For(staleness);
  }
  bool AwaitsSilent(int64_t) const override { return false; }
  bool NeedsEveryWorker(int64_t) const override { return false; }

 private:
  const int limit_;
  const CorrectionRule rule_;
};

}  // namespace

std::unique_ptr<Policy> NewBoundedStaleness(int limit, CorrectionRule rule) {
  return std::make_unique<BoundedStaleness>(limit, rule);
}

}  // namespace parley
