// Learns who clicks on what: a wide-and-deep model, DeepFM or DCN-v2 whose embeddings are rows of a
// table, one for each id, over a log of clicks made up as it goes, with ids that follow Zipf's law.
// The log's own probabilities give the AUC that no model can beat: the last line says how near it
// came. Workers are threads of this process, and so are the shards.

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/flags.h"
#include "base/status.h"
#include "examples/click_task.h"
#include "examples/in_process_job.h"
#include "gflags/gflags.h"

DEFINE_string(model, "deepfm", "wide_deep, deepfm or dcn.");
DEFINE_int32(fields, 6, "Columns of ids.");
DEFINE_int64(ids, 1000, "That a field has.");
DEFINE_double(zipf, 1.1, "The exponent of Zipf's law.");
DEFINE_int64(examples, 1000000, "To train on; a fifth as many others are tested.");
DEFINE_int32(epochs, 2, "How often to go over them.");
DEFINE_int32(batch_size, 256, "Examples in a step of one worker.");
DEFINE_int32(width, 4, "Of an embedding.");
DEFINE_int32(hidden, 32, "Units of the first dense layer.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_int32(shards, 2, "That hold the table and the parameters.");
DEFINE_double(learning_rate, 0.005, "Of Adam, for the dense parameters.");
DEFINE_double(row_learning_rate, 0.2, "Of Adagrad, for the rows.");
DEFINE_bool(async_rows, false,
            "Rows are updated as gradients come; dense parameters stay synchronous.");
DEFINE_uint64(seed, 1, "Of the log and of first values.");

namespace parley {
namespace {

absl::Status Run() {
  using Kind = nn::ClickModelOptions::Kind;
  ClickTaskOptions options;
  if (FLAGS_model == "wide_deep") {
    options.model = Kind::kWideDeep;
  } else if (FLAGS_model == "dcn") {
    options.model = Kind::kDcn;
  } else if (FLAGS_model != "deepfm") {
    return absl::InvalidArgumentError(
        absl::StrCat("--model=", FLAGS_model, ": allowed are wide_deep, deepfm, dcn"));
  }
  if (FLAGS_fields < 1 || FLAGS_ids < 1 || FLAGS_examples < FLAGS_batch_size ||
      FLAGS_batch_size < 1 || FLAGS_width < 1 || FLAGS_width > 1023 || FLAGS_hidden < 2 ||
      FLAGS_epochs < 1 || !(FLAGS_zipf >= 0)) {
    return absl::InvalidArgumentError(
        "--fields, --ids, --batch_size, --width (to 1023), --epochs are at least 1, --hidden 2, "
        "--zipf 0, and --examples at least --batch_size");
  }
  options.width = FLAGS_width;
  options.hidden = FLAGS_hidden;
  options.batch_size = FLAGS_batch_size;
  options.train_examples = FLAGS_examples;
  options.test_examples = std::max<int64_t>(1, FLAGS_examples / 5);
  options.num_workers = FLAGS_workers;
  options.log.fields = FLAGS_fields;
  options.log.ids = FLAGS_ids;
  options.log.exponent = FLAGS_zipf;
  options.log.seed = FLAGS_seed;

  InProcessJob job;
  job.spec.set_name("ctr");
  job.spec.set_seed(FLAGS_seed);
  job.spec.set_num_workers(FLAGS_workers);
  job.spec.set_num_shards(FLAGS_shards);
  job.spec.mutable_optimizer()->set_learning_rate(static_cast<float>(FLAGS_learning_rate));
  job.spec.mutable_optimizer()->mutable_adam();
  job.spec.mutable_policy()->mutable_synchronous();
  v1::TableSpec* const table = job.spec.add_tables();
  *table = ClickTask::Table(FLAGS_width, static_cast<float>(FLAGS_row_learning_rate));
  if (FLAGS_async_rows) table->mutable_policy()->mutable_asynchronous();
  const int64_t per_step = int64_t{FLAGS_batch_size} * std::max(1, FLAGS_workers);
  job.evaluate_every = std::max<int64_t>(1, FLAGS_examples / per_step);
  job.steps = FLAGS_epochs * job.evaluate_every;
  job.print_every = 200;
  std::vector<ClickTask*> tasks(static_cast<size_t>(std::max(0, FLAGS_workers)));
  job.connected = [&tasks](int worker, Client* client) {
    tasks[static_cast<size_t>(worker)]->UseClient(client);
  };
  const auto new_task = [&](int worker) -> absl::StatusOr<std::unique_ptr<TrainingTask>> {
    ClickTaskOptions mine = options;
    mine.worker = worker;
    auto task = std::make_unique<ClickTask>(mine);
    tasks[static_cast<size_t>(worker)] = task.get();
    return task;
  };
  PARLEY_ASSIGN_OR_RETURN(const TrainingSummary summary, TrainInProcess(job, new_task));
  const auto& metrics = summary.evaluation.metrics;
  std::cout << "best AUC minus reached: " << metrics[1].second - metrics[0].second << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags(
      {"ctr",
       "usage: ctr [flags]\n\nLearns who clicks, with embeddings in a table, in one process.",
       {{"Flags",
         {"model", "fields", "ids", "zipf", "examples", "epochs", "batch_size", "width", "hidden",
          "workers", "shards", "learning_rate", "row_learning_rate", "async_rows", "seed"}}}},
      argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "ctr: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
