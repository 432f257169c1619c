#ifndef PARLEY_EXAMPLES_CLICK_TASK_H_
#define PARLEY_EXAMPLES_CLICK_TASK_H_

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/click_files.h"
#include "data/click_line.h"
#include "data/click_log.h"
#include "nn/models/click_model.h"
#include "proto/job.pb.h"
#include "worker/client.h"
#include "worker/training_task.h"

namespace parley {

struct ClickTaskOptions {
  nn::ClickModelOptions::Kind model = nn::ClickModelOptions::Kind::kDeepFm;
  int width = 4;  // of an embedding
  int hidden = 32;
  int batch_size = 256;
  int64_t train_examples = 100000;  // the first of the log
  int64_t test_examples = 20000;    // those after them; of files at most so many
  int worker = 0;
  int num_workers = 1;
  data::ClickLogOptions log;
  // Where there are any, they are learned from and tested on instead of a log. A worker reads its
  // part of each of the first ones; `files` need not say which.
  std::vector<std::string> train_files;
  std::vector<std::string> test_files;
  data::ClickFilesOptions files;
};

// Learns who clicks in a data::ClickLog, or in files: a model with dense parameters, over the rows
// of a table, one for each id (nn/models/click_model.h), each times its feature's value. Each step
// pulls the rows of its batch, and pushes their gradients; features of value 0 have none. An
// evaluation has the metrics "auc" and, of a log, "best_auc", that of the probabilities from which
// it was made.
// Thread safety: that of a TrainingTask.
class ClickTask final : public TrainingTask {
 public:
  explicit ClickTask(const ClickTaskOptions& options);
  ~ClickTask() override;

  // For the job's spec, as its only table.
  static v1::TableSpec Table(int width, float learning_rate);
  // Before the first step; must outlive the task's last call.
  void UseClient(Client* client) { client_ = client; }

  std::vector<v1::ParameterSpec> Parameters() const override;
  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients, int64_t first_step) override;
  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady ready) override;
  absl::StatusOr<Evaluation> Evaluate() override;

 private:
  struct Batch;

  // Examples [first, first + size) of the log.
  Batch FromLog(int64_t first, int64_t size) const;
  // Gives them their rows, as they are for `step`.
  absl::Status PullRows(int64_t step, Batch* batch);

  const ClickTaskOptions options_;
  const int fields_;
  std::unique_ptr<data::ClickFiles> train_files_;  // null: the log
  const data::ClickLog log_;
  std::unique_ptr<nn::Module> model_;
  std::vector<nn::Parameter> parameters_;
  Client* client_ = nullptr;
  int64_t next_step_ = 0;
  std::future<absl::Status> pushed_;  // of the step before
};

}  // namespace parley

#endif  // PARLEY_EXAMPLES_CLICK_TASK_H_
