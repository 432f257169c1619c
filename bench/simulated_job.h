#ifndef PARLEY_BENCH_SIMULATED_JOB_H_
#define PARLEY_BENCH_SIMULATED_JOB_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "data/dataset.h"
#include "proto/job.pb.h"
#include "worker/client.h"
#include "worker/training_task.h"

namespace parley::bench {

// A job whose time is simulated: the data, the gradients, the clients and the shard are real, but a
// worker's step takes as long as `step_time` says, whatever this machine is doing, and travelling
// takes none.
struct SimulatedJob {
  v1::Policy policy;
  v1::Optimizer optimizer;  // the shard's
  std::string model = "mlp";
  data::TrainAndTest data;
  int workers = 4;
  int batch_size = 32;  // of each worker
  uint64_t seed = 1;
  int64_t steps = 0;  // of each worker, > 0
  // How long the worker's step takes, > 0. A pure function.
  std::function<absl::Duration(int worker, int64_t step)> step_time;
  // Worker 0 evaluates what it has pulled after every so many of its steps; with values of its own
  // at the first exchange from there. 0: only at the end.
  int64_t evaluate_every = 0;
  // The job ends when SimulatedResult::SmoothedAccuracy is as much.
  double stop_at_accuracy = 2;
};

struct SimulatedResult {
  struct Point {
    absl::Duration time;  // simulated, from the beginning
    int64_t step;         // of worker 0
    double accuracy;      // on the test's examples
  };
  std::vector<Point> points;
  // The mean of the last four, for one alone may be a lucky or an unlucky moment; 0 where there are
  // fewer.
  double SmoothedAccuracy() const;
  bool stopped = false;      // by stop_at_accuracy, which the last points have reached
  absl::Duration time;       // until the last worker was done, or it was stopped
  Evaluation evaluation;     // of the final parameters, or those it was stopped at
  uint32_t checksum = 0;     // of these
  Client::JobStatus status;  // what the shard counted
};

// Runs the job on this thread: an event loop hands the ends of the workers' steps to a Shard in
// this process in the order of simulated time, those at one time by worker, and lets it settle
// before it goes on. So the result is a function of `job` alone. INVALID_ARGUMENT when the job is
// illegal.
absl::StatusOr<SimulatedResult> Simulate(const SimulatedJob& job);

// Who is slow, for step_time. A step takes 10 ms, a tenth more or less at random; of a slow worker
// three times that.
enum class Stragglers {
  kNone,
  kPassing,  // at each step one worker, at random
  kLasting,  // always the last one
};
std::function<absl::Duration(int worker, int64_t step)> StepTime(Stragglers stragglers, int workers,
                                                                 uint64_t seed);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_SIMULATED_JOB_H_
