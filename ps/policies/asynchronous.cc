#include "ps/policies/asynchronous.h"

namespace parley {
namespace {

class Asynchronous final : public Policy {
 public:
  explicit Asynchronous(CorrectionRule rule) : rule_(rule) {}

  absl::Status CheckPush(const RoundSnapshot&, int, int64_t) const override {
    return absl::OkStatus();
  }
  bool IsComplete(const RoundSnapshot&) const override { return true; }
  bool MayPull(const RoundSnapshot&, int, int64_t) const override { return true; }
  bool PullsNeverWait(int64_t) const override { return true; }
  std::vector<int> Missing(const RoundSnapshot&, int, int64_t) const override { return {}; }
  Correction CorrectionFor(int64_t, int64_t staleness) const override {
    return rule_.For(staleness);
  }
  // Nobody is waited for; a worker that was silent goes on with its own next step.
  bool AwaitsSilent(int64_t) const override { return true; }
  bool NeedsEveryWorker(int64_t) const override { return false; }

 private:
  const CorrectionRule rule_;
};

}  // namespace

std::unique_ptr<Policy> NewAsynchronous(CorrectionRule rule) {
  return std::make_unique<Asynchronous>(rule);
}

}  // namespace parley
