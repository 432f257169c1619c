#ifndef PARLEY_BENCH_SIMULATED_SCENARIO_H_
#define PARLEY_BENCH_SIMULATED_SCENARIO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/job.pb.h"

namespace parley {

// What keeps a job's state in a simulated cluster.
enum class SimulatedKeeping {
  kNothing,   // ps tasks live; all else may die
  kLog,       // --durability=disk
  kReplica,   // --replicas=1, tasks are started again
  kTakeover,  // --replicas=1 and etcd
};

enum class SimulatedPolicy {
  kSynchronous,  // and awaits who is silent
  kBackupWorkers,
  kAsynchronous,
  kBoundedStaleness,
};

// Of a synchronous job: whether its optimizer needs norms over whole parameters.
enum class SimulatedNorms { kNone, kClipNorm, kLamb };

// What a seed stands for.
struct SimulatedScenario {
  explicit SimulatedScenario(uint64_t seed);

  uint64_t seed;
  SimulatedKeeping keeping;
  bool logs = false;  // shards have logs: of kLog, and sometimes of kTakeover
  SimulatedPolicy policy;
  SimulatedNorms norms = SimulatedNorms::kNone;
  int replicas = 0;   // of kBackupWorkers: to aggregate, 1 or 2
  int staleness = 0;  // of kBoundedStaleness
  int workers;
  int scaled_to = 0;  // workers, while it runs; 0: they stay
  int shards;
  int tasks;                 // of ps, at first
  bool scales = false;       // tasks are added and go while the job runs
  bool stops = false;        // tasks are asked to end, and end in good order
  bool fills_disks = false;  // for a while
  absl::Duration settling;   // as ServerOptions
  int64_t steps;
  int faults;            // on purpose, one after another
  bool disturb_workers;  // too
  int64_t break_one_in;  // messages: their connection breaks; 0: none
  int64_t switch_one_in;

  // "seed 7: takeover, 3 shards, 2 workers, asynchronous, 8 steps"
  std::string Describe() const;

  bool takes_over() const { return keeping == SimulatedKeeping::kTakeover; }
  // Every worker sees the values of an undisturbed job at each step.
  bool in_lockstep() const { return policy == SimulatedPolicy::kSynchronous; }

  // The job that the workers declare.
  v1::JobSpec Spec() const;
};

// The job's name, and its parameters, by their elements, in blocks of so many.
constexpr char kSimulatedJob[] = "job";
constexpr int kSimulatedElements[] = {10, 7};
constexpr int kSimulatedParameters = 2;
constexpr int kSimulatedBlock = 4;
constexpr float kSimulatedMomentum = 0.5f;

// By parameter and element.
using SimulatedValues = std::vector<std::vector<float>>;

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_SCENARIO_H_
