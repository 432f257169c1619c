#include "ps/policies/asynchronous.h"

namespace parley {
namespace {

class Asynchronous final : public Policy {
 public:
  absl::Status CheckPush(const RoundSnapshot&, int, int64_t) const override {
    return absl::OkStatus();
  }
  bool IsComplete(const RoundSnapshot&) const override { return true; }
  bool MayPull(const RoundSnapshot&, int64_t) const override { return true; }
  std::vector<int> Missing(const RoundSnapshot&, int64_t) const override { return {}; }
  bool NeedsEveryWorker() const override { return false; }
};

}  // namespace

std::unique_ptr<Policy> NewAsynchronous() { return std::make_unique<Asynchronous>(); }

}  // namespace parley
