// A ps task with an optimizer and a policy of its own. It takes the flags of parley_ps, and serves
// any worker:
//
//   own_shard --ps_hosts=a:2222 --worker_hosts=c:1,d:1 --task_index=0
//   parley_worker ... --optimizer=custom --custom_optimizer=signum,momentum=0.9
//       --policy=custom --custom_policy=near_the_mean,limit=2
//
// What crosses the wire is the name and the numbers; the code is here.

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ps/optimizer.h"
#include "ps/policy.h"
#include "ps/ps_program.h"

namespace {

using Options = std::map<std::string, float>;

// The option `name`, or `otherwise` where it is not given. It must be in [least, below).
absl::StatusOr<float> Option(const Options& options, const std::string& name, float otherwise,
                             float least, float below) {
  for (const auto& [given, value] : options) {
    if (given != name) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no option ", given, ", there is ", name));
    }
    if (!(value >= least && value < below)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", value, ", allowed are numbers in [", least, ", ", below, ")"));
    }
    return value;
  }
  return otherwise;
}

// Signum (Bernstein et al., 2018):
//   v <- momentum * v + (1 - momentum) * g;  p <- p - learning_rate * sign(v)
// Link it with -ffp-contract=off, as here, and its bits do not depend on the compiler's mood.
class Signum final : public parley::Optimizer {
 public:
  explicit Signum(float momentum) : momentum_(momentum) {}

  std::vector<absl::string_view> slot_names() const override { return {"v"}; }

  void Update(const parley::UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    float* const v = slots[0];
    for (size_t i = 0; i < gradient.size(); ++i) {
      v[i] = momentum_ * v[i] + (1 - momentum_) * gradient[i];
      const float sign = static_cast<float>(v[i] > 0) - static_cast<float>(v[i] < 0);
      new_values[i] = values[i] - context.learning_rate * sign;
    }
  }

 private:
  const float momentum_;
};

// Each gradient is applied as it comes, and nobody runs more than `limit` steps ahead of the mean
// of all: softer than bounded staleness, which looks at the slowest. The slowest itself is never
// ahead of the mean, so somebody can always go on.
class NearTheMean final : public parley::Policy {
 public:
  explicit NearTheMean(float limit) : limit_(limit) {}

  absl::Status CheckPush(const parley::RoundSnapshot&, int, int64_t) const override {
    return absl::OkStatus();
  }
  bool IsComplete(const parley::RoundSnapshot&) const override { return true; }
  bool MayPull(const parley::RoundSnapshot& round, int, int64_t step) const override {
    double clocks = 0;
    int members = 0;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (!round.awaited[worker]) continue;
      clocks += static_cast<double>(round.workers[worker].clock);
      ++members;
    }
    return clocks >= members * (static_cast<double>(step) - limit_);
  }
  std::vector<int> Missing(const parley::RoundSnapshot& round, int, int64_t step) const override {
    std::vector<int> behind;
    for (size_t worker = 0; worker < round.workers.size(); ++worker) {
      if (round.awaited[worker] && round.workers[worker].clock < step) {
        behind.push_back(static_cast<int>(worker));
      }
    }
    return behind;
  }
  bool NeedsEveryWorker(int64_t) const override { return false; }

 private:
  const float limit_;
};

}  // namespace

int main(int argc, char** argv) {
  parley::ServerOptions options;
  options.shard.optimizers["signum"] =
      [](const Options& given) -> absl::StatusOr<std::unique_ptr<parley::Optimizer>> {
    const absl::StatusOr<float> momentum = Option(given, "momentum", 0.9f, 0, 1);
    if (!momentum.ok()) return momentum.status();
    return std::make_unique<Signum>(*momentum);
  };
  options.shard.policies["near_the_mean"] =
      [](const Options& given) -> absl::StatusOr<std::unique_ptr<parley::Policy>> {
    const absl::StatusOr<float> limit = Option(given, "limit", 2, 0, 1e6);
    if (!limit.ok()) return limit.status();
    return std::make_unique<NearTheMean>(*limit);
  };
  return parley::RunPsProgram(argc, argv, options);
}
