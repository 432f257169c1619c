#include "ps/policies/bounded_staleness.h"

namespace parley {
namespace {

class BoundedStaleness final : public Policy {
 public:
  explicit BoundedStaleness(int limit) : limit_(limit) {}

  absl::Status CheckPush(const RoundSnapshot&, int, int64_t) const override {
    return absl::OkStatus();
  }
  bool IsComplete(const RoundSnapshot&) const override { return true; }

  bool MayPull(const RoundSnapshot& round, int64_t step) const override {
    return Missing(round, step).empty();
  }

  std::vector<int> Missing(const RoundSnapshot& round, int64_t step) const override {
    std::vector<int> missing;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (round.member[worker] && round.workers[worker].clock < step - limit_) {
        missing.push_back(static_cast<int>(worker));
      }
    }
    return missing;
  }

  bool NeedsEveryWorker() const override { return false; }

 private:
  const int limit_;
};

}  // namespace

std::unique_ptr<Policy> NewBoundedStaleness(int limit) {
  return std::make_unique<BoundedStaleness>(limit);
}

}  // namespace parley
