#ifndef PARLEY_EXAMPLES_IN_PROCESS_JOB_H_
#define PARLEY_EXAMPLES_IN_PROCESS_JOB_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "worker/client.h"
#include "worker/trainer.h"
#include "worker/training_task.h"

namespace parley {

// What the examples about models have in common: a whole job in this process, its shards, and each
// worker on a thread of its own.
struct InProcessJob {
  // Name, seed, numbers of workers and shards, optimizer and policy; the parameters are the task's.
  v1::JobSpec spec;
  int64_t steps = 0;           // of each worker
  int64_t evaluate_every = 0;  // steps
  int64_t print_every = 50;    // steps
  ClientOptions client;        // of each worker, but for its index
  std::string spill_folder;    // of the shards, for tables with a memory_limit; empty: none
  // Called by each worker's thread before it trains; for tasks that use tables. May be empty.
  std::function<void(int worker, Client* client)> connected;
};

using NewTask = std::function<absl::StatusOr<std::unique_ptr<TrainingTask>>(int worker)>;

// Trains, prints the chief's loss now and then and each evaluation, and returns the chief's summary
// or the first error of a worker.
absl::StatusOr<TrainingSummary> TrainInProcess(const InProcessJob& job, const NewTask& new_task);

}  // namespace parley

#endif  // PARLEY_EXAMPLES_IN_PROCESS_JOB_H_
