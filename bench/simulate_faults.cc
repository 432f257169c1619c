// Whole jobs in simulated time, with faults that a seed decides; every promise is checked
// (bench/simulated_cluster.h). Prints how often each fault came about, and how a seed that broke a
// promise is repeated; exits with 1 if any did.
//
//   bench/simulate_faults --seeds=100000
//   bench/simulate_faults --hours=8
//   bench/simulate_faults --seed=7 --seeds=1 --log    what the tasks log, of one run

#include <iostream>

#include "absl/time/clock.h"
#include "bench/simulated_runs.h"
#include "gflags/gflags.h"
#include "glog/logging.h"

DEFINE_uint64(seed, 1, "The first seed; others follow.");
DEFINE_int64(seeds, 1000, "How many.");
DEFINE_double(hours, 0, "Instead of --seeds: for how long.");
DEFINE_int64(violations, 10, "After so many it ends.");
DEFINE_bool(log, false, "The tasks' logs are written to stderr.");

namespace parley {
namespace {

int Main() {
  FLAGS_logtostderr = true;
  if (!FLAGS_log) FLAGS_minloglevel = google::FATAL;
  const absl::Time begun = absl::Now();
  const absl::Time end = begun + absl::Hours(FLAGS_hours);
  const SimulatedRuns all = RunSimulatedSeeds(FLAGS_seed, FLAGS_violations, [&](int64_t runs) {
    return FLAGS_hours > 0 ? absl::Now() < end : runs < FLAGS_seeds;
  });
  if (FLAGS_seeds == 1) std::cout << SimulatedScenario(FLAGS_seed).Describe() << "\n";
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begun);
  std::cout << all.runs << " seeds from " << FLAGS_seed << " on, " << all.violated.size()
            << " violations; " << absl::ToInt64Minutes(all.simulated) << " simulated minutes in "
            << seconds << " s; trace " << all.trace << "\n";
  for (const auto& [what, count] : all.counts) std::cout << "  " << count << " " << what << "\n";
  return all.violated.empty() ? 0 : 1;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::RunSeedsIfToldTo(argc, argv);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return parley::Main();
}
