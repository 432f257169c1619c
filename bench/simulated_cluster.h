#ifndef PARLEY_BENCH_SIMULATED_CLUSTER_H_
#define PARLEY_BENCH_SIMULATED_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace parley {

// What keeps a job's state in a simulated cluster.
enum class SimulatedKeeping {
  kNothing,   // ps tasks live; all else may die
  kLog,       // --durability=disk
  kReplica,   // --replicas=1, tasks are started again
  kTakeover,  // --replicas=1 and etcd
};

// What a seed stands for.
struct SimulatedScenario {
  explicit SimulatedScenario(uint64_t seed);

  uint64_t seed;
  SimulatedKeeping keeping;
  bool synchronous;
  int staleness = -1;  // of bounded staleness; -1: asynchronous, or synchronous
  int workers;
  int scaled_to = 0;  // workers, while it runs; 0: they stay
  int shards;
  int tasks;                // of ps, at first
  bool scales = false;      // tasks are added and go while the job runs
  absl::Duration settling;  // as ServerOptions
  int64_t steps;
  int faults;            // on purpose, one after another
  bool disturb_workers;  // too
  int64_t break_one_in;  // messages: their connection breaks; 0: none
  int64_t switch_one_in;

  // "seed 7: takeover, 3 shards, 2 workers, asynchronous, 8 steps"
  std::string Describe() const;
};

struct SimulatedResult {
  std::string violation;  // empty: every promise was kept
  uint64_t trace = 0;     // equal in two runs that went the same way
  absl::Duration elapsed;
  // How often each kind of fault came about, and what else was counted.
  std::map<std::string, int64_t> counts;
};

// Runs a whole job, whose tasks are the real Servers and Clients, on simulated threads, time,
// network, disks and etcd (base/testing/simulation.h), disturbs it as the seed says, and compares
// what every worker sees with what docs/guarantees.md promises:
//   each gradient counts exactly once, for gradients are small integers, and so sums are exact;
//   a synchronous job has the values of an undisturbed one at each step, bit by bit;
//   what was acknowledged is seen by who asks afterwards;
//   with bounded staleness no worker is further ahead than the limit;
//   no call fails, and nothing hangs: when the faults end, the job does, in good order.
// Then calls `report` and ends the process, in which nothing else must run: one for each run.
[[noreturn]] void RunSimulatedCluster(const SimulatedScenario& scenario,
                                      const std::function<void(const SimulatedResult&)>& report);

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_CLUSTER_H_
