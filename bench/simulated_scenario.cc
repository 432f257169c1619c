#include "bench/simulated_scenario.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/testing/simulated_random.h"

namespace parley {

SimulatedScenario::SimulatedScenario(uint64_t of_seed) : seed(of_seed) {
  SimulatedRandom random(of_seed * 77 + 5);
  keeping = static_cast<SimulatedKeeping>(random.Below(5) % 4);
  if (random.OneIn(3)) keeping = SimulatedKeeping::kTakeover;
  const bool synchronous = random.OneIn(2);
  workers = 1 + static_cast<int>(random.Below(3));
  if (synchronous) workers = std::min(workers, 2);  // of whose gradients means are exact
  policy = synchronous ? SimulatedPolicy::kSynchronous : SimulatedPolicy::kAsynchronous;
  if (!synchronous && random.OneIn(2)) {
    policy = SimulatedPolicy::kBoundedStaleness;
    staleness = static_cast<int>(random.Below(3));
  }
  const bool replicates =
      keeping == SimulatedKeeping::kReplica || keeping == SimulatedKeeping::kTakeover;
  shards = (replicates ? 2 : 1) + static_cast<int>(random.Below(2));
  steps = 4 + random.Below(8);
  SimulatedRandom scale(of_seed * 131 + 9);
  if (synchronous && scale.OneIn(4)) scaled_to = 3 - workers;
  faults = static_cast<int>(random.Below(12));
  disturb_workers = random.OneIn(2);
  break_one_in = random.OneIn(3) ? 0 : 20 + random.Below(200);
  switch_one_in = random.OneIn(3) ? 0 : 2 + random.Below(30);
  tasks = shards;
  SimulatedRandom more(of_seed * 173 + 11);
  logs = keeping == SimulatedKeeping::kLog || (takes_over() && more.OneIn(3));
  fills_disks = logs && more.OneIn(2);
  stops = takes_over() && more.OneIn(2);
  if (synchronous && scaled_to == 0) {
    if (more.OneIn(3)) norms = more.OneIn(2) ? SimulatedNorms::kClipNorm : SimulatedNorms::kLamb;
    if (norms == SimulatedNorms::kNone && more.OneIn(4)) {
      policy = SimulatedPolicy::kBackupWorkers;
      workers = 2 + static_cast<int>(more.Below(2));
      replicas = 1 + static_cast<int>(more.Below(workers - 1));
      steps = std::min<int64_t>(steps, 9);  // of which sums say exactly which are in them
    }
  }
  if (takes_over()) {
    settling = random.UpTo(absl::Seconds(1));
    if (random.OneIn(2)) shards += static_cast<int>(random.Below(4));
    scales = random.OneIn(2);
    if (scales) {
      if (policy != SimulatedPolicy::kBackupWorkers) steps *= 3;
      faults += 4;
    }
  }
}

v1::JobSpec SimulatedScenario::Spec() const {
  v1::JobSpec spec;
  spec.set_name(kSimulatedJob);
  spec.set_num_workers(workers);
  spec.set_num_shards(shards);
  spec.set_block_elements(kSimulatedBlock);
  for (int i = 0; i < kSimulatedParameters; ++i) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", i));
    parameter->add_shape(kSimulatedElements[i]);
    parameter->set_dtype(v1::FLOAT32);
    if (norms == SimulatedNorms::kLamb) {  // whose steps are as long as the parameter
      parameter->mutable_initializer()->mutable_uniform()->set_low(-1);
      parameter->mutable_initializer()->mutable_uniform()->set_high(1);
    }
  }
  v1::Optimizer* const optimizer = spec.mutable_optimizer();
  optimizer->set_learning_rate(norms == SimulatedNorms::kLamb ? 0.25f : 1.0f);
  if (norms == SimulatedNorms::kLamb) {
    optimizer->mutable_lamb()->set_weight_decay(0.125f);
  } else if (in_lockstep()) {
    optimizer->mutable_momentum()->set_momentum(kSimulatedMomentum);
    if (norms == SimulatedNorms::kClipNorm) optimizer->set_clip_norm(5);
  } else {
    optimizer->mutable_sgd();
  }
  switch (policy) {
    case SimulatedPolicy::kSynchronous:
      spec.mutable_policy()->mutable_synchronous()->set_await_silent(true);
      break;
    case SimulatedPolicy::kBackupWorkers:
      spec.mutable_policy()->mutable_synchronous()->set_replicas_to_aggregate(replicas);
      break;
    case SimulatedPolicy::kAsynchronous:
      spec.mutable_policy()->mutable_asynchronous();
      break;
    case SimulatedPolicy::kBoundedStaleness:
      spec.mutable_policy()->mutable_bounded_staleness()->set_limit(staleness);
      break;
  }
  return spec;
}

std::string SimulatedScenario::Describe() const {
  constexpr const char* kNames[] = {"nothing is kept", "log", "replica", "takeover"};
  constexpr const char* kNorms[] = {"", ", clip_norm", ", lamb"};
  const auto of_policy = [&]() -> std::string {
    switch (policy) {
      case SimulatedPolicy::kSynchronous:
        return "synchronous";
      case SimulatedPolicy::kBackupWorkers:
        return absl::StrCat("of whom ", replicas, " make a round");
      case SimulatedPolicy::kAsynchronous:
        return "asynchronous";
      case SimulatedPolicy::kBoundedStaleness:
        return absl::StrCat("staleness up to ", staleness);
    }
    return "";
  };
  return absl::StrCat("seed ", seed, ": ", kNames[static_cast<int>(keeping)],
                      takes_over() && logs ? " and log" : "", ", ", shards, " shards",
                      tasks == shards ? "" : absl::StrCat(" on ", tasks, " tasks"),
                      scales ? ", tasks come and go" : "", stops ? ", tasks end" : "",
                      fills_disks ? ", disks fill up" : "", ", ", workers, " workers, ",
                      scaled_to == 0 ? "" : absl::StrCat("then ", scaled_to, ", "), of_policy(),
                      kNorms[static_cast<int>(norms)], ", ", steps, " steps, ", faults, " faults",
                      disturb_workers ? ", of workers too" : "");
}

}  // namespace parley
