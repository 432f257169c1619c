#ifndef PARLEY_BENCH_SIMULATED_RUNS_H_
#define PARLEY_BENCH_SIMULATED_RUNS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "bench/simulated_cluster.h"

namespace parley {

// The longest that a seed may take, of processor time or not.
constexpr absl::Duration kLongestSimulatedRun = absl::Seconds(60);

// RunSimulatedCluster in a process of its own, forked from this program started once more for it:
// all of a run's addresses are the same each time, and so is what it does. One that crashes, or
// does not end, is a violation. Not thread-safe.
SimulatedResult RunSimulatedSeed(uint64_t seed);

// The first thing that main() calls: when this is the program that was started once more, it runs
// the seeds that it is told, and does not return.
void RunSeedsIfToldTo(int argc, char** argv);

// Of many seeds.
struct SimulatedRuns {
  int64_t runs = 0;
  absl::Duration simulated;
  std::map<std::string, int64_t> counts;
  std::vector<uint64_t> violated;  // seeds
  uint64_t trace = 0;              // of all: equal in two that went the same way
};

// Runs seeds from `first` on, one after another, while `more` says so of how many there were. A
// violation is told on stderr at once, with how it is repeated; after `most_violations` it ends.
SimulatedRuns RunSimulatedSeeds(uint64_t first, int64_t most_violations,
                                const std::function<bool(int64_t runs)>& more);

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_RUNS_H_
