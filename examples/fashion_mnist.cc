// Trains a convolutional network on Fashion-MNIST, as a library user would write it. Without
// --ps_hosts everything runs in this process: shards, and --workers workers on a thread each. With
// it, this process is worker --task_index of --workers, and the shards are real parley_ps tasks.

#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags.h"
#include "base/status.h"
#include "data/open_dataset.h"
#include "gflags/gflags.h"
#include "net/channel.h"
#include "ps/shard.h"
#include "worker/client.h"
#include "worker/supervised_task.h"
#include "worker/trainer.h"

DEFINE_string(data_dir, "/usr/share/datasets/fashion-mnist", "The folder with the four IDX files.");
DEFINE_string(model, "cnn", "linear, mlp or cnn.");
DEFINE_int32(workers, 2, "Workers of the job.");
DEFINE_int32(shards, 2, "Shards in this process, without --ps_hosts.");
DEFINE_string(ps_hosts, "", "The ps tasks, host:port,...; empty: shards in this process.");
DEFINE_int32(task_index, 0, "With --ps_hosts: which worker this process is.");
DEFINE_int64(steps, 1000, "Steps of each worker.");
DEFINE_int32(batch_size, 64, "Examples in a step of one worker.");
DEFINE_uint64(seed, 1, "Of first values and order.");
DEFINE_string(checkpoint_dir, "", "Where to save the result, if anywhere.");

namespace {

using Shards = std::vector<std::shared_ptr<parley::ParameterServer>>;

// Prints where the chief is, now and then.
class Printer : public parley::TrainingObserver {
  void OnStep(const parley::Progress& progress) override {
    if (progress.step % 100 != 0) return;
    std::cout << "step " << progress.step << "/" << progress.steps << " loss " << progress.loss
              << std::endl;
  }
};

absl::Status RunWorker(int worker, const parley::data::TrainAndTest& data, Shards shards) {
  parley::SupervisedTaskOptions task_options;
  task_options.model = FLAGS_model;
  task_options.batch_size = FLAGS_batch_size;
  task_options.worker = worker;
  task_options.num_workers = FLAGS_workers;
  task_options.seed = FLAGS_seed;
  PARLEY_ASSIGN_OR_RETURN(const auto task, parley::SupervisedTask::Create(task_options, data));

  // The job: every task makes the same description of it.
  parley::v1::JobSpec job;
  job.set_name("fashion_mnist");
  job.set_seed(FLAGS_seed);
  job.set_num_workers(FLAGS_workers);
  job.set_num_shards(static_cast<int>(shards.size()));
  for (const auto& parameter : task->Parameters()) *job.add_parameters() = parameter;
  job.mutable_optimizer()->set_learning_rate(0.05f);
  job.mutable_optimizer()->mutable_momentum()->set_momentum(0.9f);
  job.mutable_policy()->mutable_synchronous();

  parley::ClientOptions client_options;
  client_options.worker = worker;
  PARLEY_ASSIGN_OR_RETURN(const auto client,
                          parley::Client::Connect(job, std::move(shards), client_options));

  Printer printer;
  parley::TrainerOptions options;
  options.steps = FLAGS_steps;
  options.steps_per_epoch = task->steps_per_epoch();
  options.checkpoint_folder = FLAGS_checkpoint_dir;
  if (worker == 0) options.observers = {&printer};
  parley::Trainer trainer(client.get(), task.get(), options);
  PARLEY_ASSIGN_OR_RETURN(const parley::TrainingSummary summary, trainer.Run());
  if (worker == 0) std::cout << "test accuracy " << summary.evaluation.accuracy() << std::endl;
  return absl::OkStatus();
}

absl::Status Run() {
  if (FLAGS_workers < 1 || FLAGS_shards < 1) {
    return absl::InvalidArgumentError("--workers and --shards must be positive");
  }
  PARLEY_ASSIGN_OR_RETURN(const auto data, parley::data::OpenDataset(FLAGS_data_dir, {}));
  Shards shards;
  if (!FLAGS_ps_hosts.empty()) {
    for (const auto& host : absl::StrSplit(FLAGS_ps_hosts, ',')) {
      shards.push_back(parley::NewChannel(absl::StrCat("ps:", shards.size()), std::string(host)));
    }
    return RunWorker(FLAGS_task_index, data, shards);
  }
  for (int i = 0; i < FLAGS_shards; ++i) {
    parley::ShardOptions options;
    options.shard_index = i;
    options.checkpoint_folder = FLAGS_checkpoint_dir;
    shards.push_back(std::make_shared<parley::Shard>(options));
  }
  std::vector<absl::Status> results(FLAGS_workers);
  std::vector<std::thread> threads;
  for (int i = 0; i < FLAGS_workers; ++i) {
    threads.emplace_back([&, i] { results[i] = RunWorker(i, data, shards); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) PARLEY_RETURN_IF_ERROR(result);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  parley::ParseFlags({"fashion_mnist",
                      "usage: fashion_mnist [flags]\n\nTrains on Fashion-MNIST, in one process or "
                      "with parley_ps tasks.",
                      {{"Flags",
                        {"data_dir", "model", "workers", "shards", "ps_hosts", "task_index",
                         "steps", "batch_size", "seed", "checkpoint_dir"}}}},
                     argc, argv);
  const absl::Status status = Run();
  if (!status.ok()) std::cerr << "fashion_mnist: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
