// Whole jobs on simulated threads, time, network, disks and etcd: each seed another job with other
// faults (bench/simulated_cluster.h). The seeds are always the same, and so is what they do.
//
// PARLEY_SIMULATION_SEED and PARLEY_SIMULATION_SEEDS in the environment: the first one, and how
// many.

#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "absl/time/clock.h"
#include "base/testing/simulation.h"
#include "bench/simulated_runs.h"
#include "glog/logging.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

constexpr absl::Duration kMostTime = absl::Seconds(15);
constexpr int64_t kLeast = 100;

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoll(value);
}

class SimulatedClusterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kCanSimulate) GTEST_SKIP() << "not with this sanitizer";
  }
};

TEST_F(SimulatedClusterTest, EveryPromiseIsKept) {
  FLAGS_minloglevel = google::FATAL;
  const int64_t first = FromEnvironment("PARLEY_SIMULATION_SEED", 1);
  const int64_t seeds = FromEnvironment("PARLEY_SIMULATION_SEEDS", 3000);
  const absl::Time end = absl::Now() + kMostTime;
  const SimulatedRuns all = RunSimulatedSeeds(
      static_cast<uint64_t>(first), /*most_violations=*/3,
      [&](int64_t runs) { return runs < seeds && (runs < kLeast || absl::Now() < end); });
  EXPECT_EQ(all.violated.size(), 0u);
  std::cout << all.runs << " seeds, of " << all.simulated << " simulated; trace " << all.trace
            << "\n";
  for (const auto& [what, count] : all.counts) std::cout << "  " << count << " " << what << "\n";
  if (seeds < kLeast) return;
  for (const char* const fault :
       {"ps tasks killed", "workers killed", "broken connections",
        "changes of the number of workers", "changes of the number of ps tasks"}) {
    EXPECT_GT(all.counts.count(fault), 0u) << fault;
  }
}

TEST_F(SimulatedClusterTest, ASeedGoesTheSameWayAgain) {
  FLAGS_minloglevel = google::FATAL;
  for (const uint64_t seed : {1, 2, 3, 5, 8}) {
    const SimulatedResult once = RunSimulatedSeed(seed);
    const SimulatedResult again = RunSimulatedSeed(seed);
    EXPECT_NE(once.trace, 0u);
    EXPECT_EQ(once.trace, again.trace) << "seed " << seed;
  }
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::RunSeedsIfToldTo(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
