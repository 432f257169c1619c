#include "bench/simulated_oracle.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "base/testing/simulation.h"
#include "ps/shard.h"
#include "worker/client.h"

namespace parley {
namespace {

// Twice what part of a round's mean is a gradient's, for each of its steps, by step: of a value
// that is minus their sum, with backup workers. None: no such value.
absl::optional<std::vector<int>> PartsOf(float value) {
  const int64_t sum = static_cast<int64_t>(-value);
  if (static_cast<float>(-sum) != value || sum < 0) return absl::nullopt;
  std::vector<int> parts;
  for (int64_t rest = sum; rest > 0; rest /= 4) {
    parts.push_back(static_cast<int>(rest % 4));
    if (parts.back() == 3) return absl::nullopt;
  }
  return parts;
}

int PartOf(const std::vector<int>& parts, int64_t step) {
  return step < static_cast<int64_t>(parts.size()) ? parts[static_cast<size_t>(step)] : 0;
}

}  // namespace

int64_t SimulatedOracle::Worker::acknowledged() const {
  for (auto push = pushes.rbegin(); push != pushes.rend(); ++push) {
    if (push->acknowledged) return push->step + 1;
  }
  return 0;
}

SimulatedOracle::SimulatedOracle(const SimulatedScenario& scenario)
    : scenario_(scenario),
      workers_(static_cast<size_t>(std::max(scenario.workers, scenario.scaled_to))) {}

// Before the mean of a round.
float SimulatedOracle::GradientOf(int worker, int64_t step, int parameter, int element) const {
  if (scenario_.policy == SimulatedPolicy::kBackupWorkers) {
    return static_cast<float>(int64_t{2} << (2 * step));  // a digit of its own in sums
  }
  const uint64_t mixed = SimulatedRandom(static_cast<uint64_t>(worker * 1000003 + step * 10007 +
                                                               parameter * 101 + element))
                             .Next();
  return static_cast<float>(1 + mixed % 7);
}

SimulatedValues SimulatedOracle::GradientsOf(int worker, int64_t step, int workers) const {
  const float scale = scenario_.in_lockstep() ? static_cast<float>(workers) : 1.0f;
  SimulatedValues gradients;
  for (int p = 0; p < kSimulatedParameters; ++p) {
    std::vector<float>& of_parameter = gradients.emplace_back(kSimulatedElements[p], 0.0f);
    for (int e = worker; e < kSimulatedElements[p]; e += workers) {
      of_parameter[static_cast<size_t>(e)] = scale * GradientOf(worker, step, p, e);
    }
  }
  return gradients;
}

// One worker pushes the means of all.
std::string SimulatedOracle::RunUndisturbed() {
  if (scenario_.norms == SimulatedNorms::kNone) return "";
  v1::JobSpec spec = scenario_.Spec();
  spec.set_num_shards(1);
  spec.set_num_workers(1);
  ShardOptions options;
  options.threads = 1;
  ClientOptions client_options;
  client_options.incarnation = 1;
  auto connected =
      Client::Connect(std::move(spec), {std::make_shared<Shard>(options)}, client_options);
  if (!connected.ok()) return connected.status().ToString();
  Client& client = **connected;
  SimulatedValues values;
  std::vector<ParameterTarget> targets;
  for (const int elements : kSimulatedElements) values.emplace_back(elements);
  for (int p = 0; p < kSimulatedParameters; ++p) {
    targets.push_back({p, absl::MakeSpan(values[static_cast<size_t>(p)])});
  }
  absl::Status status = client.PullAsync(0, targets).get();
  for (int64_t step = 0; status.ok(); ++step) {
    undisturbed_.push_back(values);
    if (step == scenario_.steps) break;
    SimulatedValues gradients;
    std::vector<ParameterGradient> sent;
    for (int p = 0; p < kSimulatedParameters; ++p) {
      std::vector<float>& of_parameter = gradients.emplace_back();
      for (int e = 0; e < kSimulatedElements[p]; ++e) {
        of_parameter.push_back(GradientOf(OwnerOf(e), step, p, e));
      }
    }
    for (int p = 0; p < kSimulatedParameters; ++p) {
      sent.push_back({p, absl::MakeConstSpan(gradients[static_cast<size_t>(p)])});
    }
    status = client.PushPullAsync(step, sent, targets).get();
  }
  status.Update(client.Leave(status));
  return status.ok() ? "" : status.ToString();
}

SimulatedValues SimulatedOracle::LockstepValues(int64_t version, const WorkerCounts& counts) const {
  if (!undisturbed_.empty()) return undisturbed_[static_cast<size_t>(version)];
  SimulatedValues values, velocity;
  for (const int elements : kSimulatedElements) {
    values.emplace_back(elements, 0.0f);
    velocity.emplace_back(elements, 0.0f);
  }
  for (int64_t step = 0; step < version; ++step) {
    for (int p = 0; p < kSimulatedParameters; ++p) {
      for (int e = 0; e < kSimulatedElements[p]; ++e) {
        velocity[p][e] =
            kSimulatedMomentum * velocity[p][e] + GradientOf(e % counts.At(step), step, p, e);
        values[p][e] -= velocity[p][e];
      }
    }
  }
  return values;
}

SimulatedOracle::Seen SimulatedOracle::Look() const {
  Seen seen;
  for (const Worker& worker : workers_) {
    const bool open = !worker.pushes.empty() && !worker.pushes.back().acknowledged &&
                      !worker.pushes.back().abandoned;
    seen.pushes.push_back(worker.pushes.size() - (open ? 1 : 0));
  }
  return seen;
}

std::string SimulatedOracle::Joined(int index, int64_t first) {
  Worker& worker = workers_[static_cast<size_t>(index)];
  const auto wrong = [&](absl::string_view why) {
    return absl::StrCat("it begins at step ", first, ", with ", worker.acknowledged(),
                        " acknowledged and ", worker.begun(), " begun", why);
  };
  if (first < worker.acknowledged()) return wrong("");
  const bool ahead = first > worker.begun();
  const bool drops = scenario_.policy == SimulatedPolicy::kBackupWorkers;
  if (ahead) {
    // One that comes back begins where the others are.
    if (scenario_.policy != SimulatedPolicy::kBoundedStaleness && !drops) return wrong("");
    if (!drops && !MayBeLeftOut(worker)) return wrong(", and was always heard");
    int64_t furthest = 0;
    for (const Worker& other : workers_) furthest = std::max(furthest, other.begun());
    if (first > furthest) return wrong(absl::StrCat("; nobody has begun more than ", furthest));
  }
  if (worker.pushes.empty() || worker.pushes.back().acknowledged) return "";
  Push& last = worker.pushes.back();
  if (first <= last.step) return "";  // it does that again
  // All shards have it; or the worker's clock was raised.
  last.acknowledged = !ahead && !drops && !MayBeLeftOut(worker);
  last.abandoned = !last.acknowledged;
  return "";
}

void SimulatedOracle::Begun(int worker, int64_t step) {
  std::vector<Push>& pushes = workers_[static_cast<size_t>(worker)].pushes;
  if (pushes.empty() || pushes.back().step < step) pushes.push_back({step});
}

void SimulatedOracle::Acknowledged(int worker, int64_t step, absl::Duration began) {
  for (Push& push : workers_[static_cast<size_t>(worker)].pushes) {
    if (push.step == step) push.acknowledged = true;
  }
  Heard(worker, began);
}

void SimulatedOracle::Heard(int index, absl::Duration began) {
  Worker& worker = workers_[static_cast<size_t>(index)];
  worker.longest_silence = std::max(worker.longest_silence, Simulation::Elapsed() - worker.heard);
  worker.heard = std::max(worker.heard, began);
}

bool SimulatedOracle::Counts(int worker, int64_t step, const SimulatedValues& values) const {
  if (scenario_.policy != SimulatedPolicy::kBackupWorkers) return true;
  for (int p = 0; p < kSimulatedParameters; ++p) {
    for (int e = worker; e < kSimulatedElements[p]; e += scenario_.workers) {
      const auto parts = PartsOf(values[p][e]);
      if (!parts.has_value() || PartOf(*parts, step) == 0) return false;
    }
  }
  return true;
}

void SimulatedOracle::Left(int worker) { workers_[static_cast<size_t>(worker)].left = true; }

bool SimulatedOracle::MayBeLeftOut(const Worker& worker) const {
  const absl::Duration lease = ShardOptions().lease;
  // One may have joined, and died before it heard of that.
  return worker.left ||
         std::max(worker.longest_silence, Simulation::Elapsed() - worker.heard) >= lease;
}

std::string SimulatedOracle::CheckCounts(int64_t version, const WorkerCounts& counts) {
  for (int64_t step = 0; step < version; ++step) {
    const auto known = counts_at_.emplace(step, counts.At(step)).first;
    if (known->second == counts.At(step)) continue;
    return absl::StrCat(" knows of ", counts.At(step), " workers in step ", step, ", others of ",
                        known->second);
  }
  return "";
}

std::string SimulatedOracle::Check(const std::string& task, int worker, int64_t version,
                                   const SimulatedValues& values, const Seen& seen,
                                   const WorkerCounts& counts) {
  std::string wrong = CheckCounts(version, counts);
  const SimulatedValues lockstep =
      scenario_.in_lockstep() ? LockstepValues(version, counts) : SimulatedValues();
  for (int p = 0; p < kSimulatedParameters; ++p) {
    for (int e = 0; e < kSimulatedElements[p] && wrong.empty(); ++e) {
      std::string why;
      if (!lockstep.empty()) {
        if (values[p][e] != lockstep[p][e]) why = absl::StrCat(", which is to be ", lockstep[p][e]);
      } else if (scenario_.policy != SimulatedPolicy::kBackupWorkers) {
        why = CheckSum(worker == OwnerOf(e) ? 0 : version, p, e, values[p][e], seen);
      }
      if (!why.empty()) {
        wrong = absl::StrCat(" has parameter ", p, " element ", e, " = ", values[p][e], why);
      }
    }
  }
  if (wrong.empty() && scenario_.policy == SimulatedPolicy::kBackupWorkers) {
    wrong = CheckBackups(values, seen);
  }
  return wrong.empty() ? "" : absl::StrCat(task, " at step ", version, wrong);
}

std::string SimulatedOracle::CheckSum(int64_t version, int parameter, int element, float value,
                                      const Seen& seen) {
  const int owner = OwnerOf(element);
  const Worker& worker = workers_[static_cast<size_t>(owner)];
  const size_t least = seen.pushes[static_cast<size_t>(owner)];
  // The owner's next step, as the block can have it; -1: no steps make this sum.
  int64_t clock = -1;
  bool without = false;  // steps make it, but they lack some that were acknowledged
  const std::function<void(size_t, float, int64_t)> find = [&](size_t i, float sum, int64_t next) {
    if (sum == -value) {
      if (i >= least) clock = std::max(clock, next);
      without = without || i < least;
    }
    if (i == worker.pushes.size() || sum > -value) return;
    const Push& push = worker.pushes[i];
    find(i + 1, sum + GradientOf(owner, push.step, parameter, element), push.step + 1);
    if (push.abandoned) find(i + 1, sum, next);
  };
  find(0, 0, 0);
  if (clock < 0) {
    return absl::StrCat(": no sum of gradients of worker:", owner, ", of which ",
                        worker.pushes.size(), " were begun",
                        without ? ", with the " + absl::StrCat(least) + " acknowledged" : "");
  }
  // A worker that was not heard for a lease is not awaited, and then begins where the others are.
  const bool awaited =
      scenario_.policy == SimulatedPolicy::kBoundedStaleness && !MayBeLeftOut(worker);
  if (awaited && clock < version - scenario_.staleness) {
    return absl::StrCat(": it is ahead of worker:", owner, ", which has done ", clock,
                        " steps, by more than ", scenario_.staleness);
  }
  return "";
}

std::string SimulatedOracle::CheckBackups(const SimulatedValues& values, const Seen& seen) {
  for (int p = 0; p < kSimulatedParameters; ++p) {
    for (int begin = 0; begin < kSimulatedElements[p]; begin += kSimulatedBlock) {
      const int end = std::min(begin + kSimulatedBlock, kSimulatedElements[p]);
      std::vector<std::vector<int>> of_owner(static_cast<size_t>(scenario_.workers));
      int parts_of_means = 0;
      for (int e = begin; e < end; ++e) {
        const auto parts = PartsOf(values[p][e]);
        const auto wrong = [&](const auto&... why) {
          return absl::StrCat(" has parameter ", p, " element ", e, " = ", values[p][e], why...);
        };
        if (!parts.has_value()) return wrong(", which no rounds make");
        const int owner = OwnerOf(e);
        const Worker& pushed = workers_[static_cast<size_t>(owner)];
        if (e - begin < scenario_.workers) {
          of_owner[static_cast<size_t>(owner)] = *parts;
        } else if (of_owner[static_cast<size_t>(owner)] != *parts) {
          return wrong(": other steps of worker:", owner, " than in its block");
        }
        for (int64_t step = 0; step < static_cast<int64_t>(parts->size()); ++step) {
          const int part = PartOf(*parts, step);
          if (part == 0) continue;
          if (e - begin < scenario_.workers) parts_of_means += part;
          const bool begun = std::any_of(pushed.pushes.begin(), pushed.pushes.end(),
                                         [step](const Push& push) { return push.step == step; });
          if (!begun) return wrong(": step ", step, " of worker:", owner, ", which it never did");
          const int of_round = 2 / scenario_.replicas;
          const bool others_out = std::all_of(
              workers_.begin(), workers_.end(),
              [&](const Worker& other) { return &other == &pushed || MayBeLeftOut(other); });
          if (part < of_round || (part > of_round && !others_out)) {
            return wrong(": step ", step, " of worker:", owner, " is one of ", 2 / part,
                         " in its round");
          }
        }
        // A worker's gradient is taken only when it is decided what became of the one before.
        for (size_t i = 0; i < pushed.pushes.size(); ++i) {
          const int64_t step = pushed.pushes[i].step;
          if (i + 1 >= seen.pushes[static_cast<size_t>(owner)]) break;
          const int part = PartOf(*parts, step);
          const auto decided = decided_.emplace(std::make_tuple(p, e, step), part).first;
          if (decided->second != part) {
            return wrong(": step ", step, " of worker:", owner, " counts ", part,
                         " halves of a round, and has counted ", decided->second);
          }
        }
      }
      if (end - begin >= scenario_.workers && parts_of_means % 2 != 0) {
        return absl::StrCat(" has parameter ", p, " from element ", begin, " on after ",
                            parts_of_means, " halves of rounds");
      }
    }
  }
  return "";
}

}  // namespace parley
