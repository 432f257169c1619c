#include "examples/in_process_job.h"

#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "ps/shard.h"
#include "worker/client.h"

namespace parley {
namespace {

class Printer final : public TrainingObserver {
 public:
  explicit Printer(int64_t every) : every_(every) {}

  void OnStep(const Progress& progress) override {
    if (progress.step != 1 && progress.step % every_ != 0) return;
    std::cout << "step " << progress.step << "/" << progress.steps << " loss " << progress.loss
              << " (" << static_cast<int64_t>(progress.samples_per_second) << " samples/s)"
              << std::endl;
  }

  void OnEvaluation(const Progress& progress, const Evaluation& evaluation,
                    absl::Duration) override {
    std::cout << "after step " << progress.step << ": test loss " << evaluation.loss;
    if (evaluation.has_accuracy) std::cout << ", accuracy " << evaluation.accuracy();
    for (const auto& [name, value] : evaluation.metrics) std::cout << ", " << name << " " << value;
    std::cout << std::endl;
  }

 private:
  const int64_t every_;
};

absl::StatusOr<TrainingSummary> RunWorker(const InProcessJob& job, int worker,
                                          std::vector<std::shared_ptr<ParameterServer>> shards,
                                          const NewTask& new_task) {
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<TrainingTask> task, new_task(worker));
  v1::JobSpec spec = job.spec;
  for (const v1::ParameterSpec& parameter : task->Parameters()) *spec.add_parameters() = parameter;
  ClientOptions client_options = job.client;
  client_options.worker = worker;
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                          Client::Connect(std::move(spec), std::move(shards), client_options));
  if (job.connected) job.connected(worker, client.get());
  Printer printer(job.print_every);
  TrainerOptions options;
  options.steps = job.steps;
  options.steps_per_epoch = job.evaluate_every;
  if (worker == 0) options.observers = {&printer};
  return Trainer(client.get(), task.get(), std::move(options)).Run();
}

}  // namespace

absl::StatusOr<TrainingSummary> TrainInProcess(const InProcessJob& job, const NewTask& new_task) {
  if (job.spec.num_workers() < 1 || job.spec.num_shards() < 1) {
    return absl::InvalidArgumentError("a job needs at least one worker and one shard");
  }
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < job.spec.num_shards(); ++i) {
    ShardOptions options;
    options.shard_index = i;
    options.spill_folder = job.spill_folder;
    shards.push_back(std::make_shared<Shard>(options));
  }
  std::vector<absl::StatusOr<TrainingSummary>> results(static_cast<size_t>(job.spec.num_workers()),
                                                       absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (int i = 0; i < job.spec.num_workers(); ++i) {
    threads.emplace_back([&, i] { results[i] = RunWorker(job, i, shards, new_task); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) PARLEY_RETURN_IF_ERROR(result.status());
  return results[0];
}

}  // namespace parley
