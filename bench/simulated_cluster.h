#ifndef PARLEY_BENCH_SIMULATED_CLUSTER_H_
#define PARLEY_BENCH_SIMULATED_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "bench/simulated_scenario.h"

namespace parley {

struct SimulatedResult {
  std::string violation;  // empty: every promise was kept
  uint64_t trace = 0;     // equal in two runs that went the same way
  absl::Duration elapsed;
  // How often each kind of fault came about, and what else was counted.
  std::map<std::string, int64_t> counts;
};

// Runs a whole job, whose tasks are the real Servers and Clients (bench/simulated_tasks.h), on
// simulated threads, time, network, disks and etcd (base/testing/simulation.h), disturbs it as the
// seed says (bench/simulated_faults.h), and compares what every worker sees with what
// docs/guarantees.md promises (bench/simulated_oracle.h). No call fails, and nothing hangs: when
// the faults end, the job does, in good order.
// Then calls `report` and ends the process, in which nothing else must run: one for each run.
[[noreturn]] void RunSimulatedCluster(const SimulatedScenario& scenario,
                                      const std::function<void(const SimulatedResult&)>& report);

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_CLUSTER_H_
