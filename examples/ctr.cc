// Learns who clicks on what: a wide-and-deep model, DeepFM or DCN-v2 whose embeddings are rows of a
// table, one for each id, over a log of clicks made up as it goes, with ids that follow Zipf's law.
// The log's own probabilities give the AUC that no model can beat: the last line says how near it
// came. Instead of a made-up log it reads files in the format of the Criteo logs or of libsvm,
// plain or gzip, where there are any. Workers are threads of this process, and so are the shards.

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags.h"
#include "base/metrics.h"
#include "base/metrics_flags.h"
#include "base/status.h"
#include "examples/click_task.h"
#include "examples/in_process_job.h"
#include "gflags/gflags.h"
#include "net/row_wire.h"

DEFINE_string(model, "deepfm", "wide_deep, deepfm or dcn.");
DEFINE_int32(fields, 6, "Columns of ids in the made-up log.");
DEFINE_int64(ids, 1000, "Different ids that each field has.");
DEFINE_double(zipf, 1.1, "The exponent of Zipf's law, which says how often each id comes.");
DEFINE_int64(examples, 1000000,
             "Examples to train on in an epoch; a fifth as many others are tested. Of files too: "
             "of longer ones the rest is not read, shorter ones are gone through again.");
DEFINE_int32(epochs, 2, "How often to go over the examples.");
DEFINE_int32(batch_size, 256, "Examples in a step of one worker.");
DEFINE_int32(width, 4, "Numbers in an embedding.");
DEFINE_int32(hidden, 32, "Units of the first dense layer.");
DEFINE_int32(workers, 2, "Workers, each on a thread.");
DEFINE_int32(shards, 2, "Shards, which hold the table and the parameters.");
DEFINE_double(learning_rate, 0.005, "The learning rate of Adam, for the dense parameters.");
DEFINE_double(row_learning_rate, 0.2, "The learning rate of Adagrad, for the rows.");
DEFINE_bool(async_rows, false,
            "Rows are updated as gradients come; dense parameters stay synchronous.");
DEFINE_string(rows_dtype, "float32",
              "How rows and their gradients travel: float32, bfloat16, float16 or int8.");
DEFINE_int64(row_cache_mb, 0,
             "MiB that each worker has for rows that it pulled before; 0: it keeps none.");
DEFINE_int64(row_staleness, 4, "How many steps old a row may be that a worker kept.");
DEFINE_int64(memory_limit_mb, 0,
             "MiB that the table's rows may take in the memory of each shard; others are on the "
             "disk. 0: all are in memory.");
DEFINE_string(spill_dir, "", "The folder for rows that are on the disk.");
DEFINE_uint64(seed, 1, "The seed of the made-up log and of first values.");
DEFINE_string(train_files, "",
              "Files to train on instead of a made-up log, separated by commas; may be gzip.");
DEFINE_string(test_files, "", "Files to test on, then.");
DEFINE_string(format, "criteo",
              "The format of the files: criteo (tabs between a label, 13 numbers and 26 "
              "categories) or libsvm.");
DEFINE_int32(max_features, 64, "Features that a line of a libsvm file has at most.");
DEFINE_uint64(hash_buckets, 0,
              "Ids that a Criteo log's field, or a libsvm file, is hashed to; 0: as many as there "
              "are.");
DEFINE_bool(skip_bad_lines, false, "Faulty lines are counted and passed over, not errors.");

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

  if (FLAGS_train_files.empty() != FLAGS_test_files.empty()) {
    return absl::InvalidArgumentError("--train_files and --test_files go together");
  }
  options.train_files = absl::StrSplit(FLAGS_train_files, ',', absl::SkipEmpty());
  options.test_files = absl::StrSplit(FLAGS_test_files, ',', absl::SkipEmpty());
  if (FLAGS_format == "libsvm") {
    options.files.format = data::ClickFilesOptions::Format::kLibsvm;
    options.files.fields = FLAGS_max_features;
  } else if (FLAGS_format != "criteo") {
    return absl::InvalidArgumentError(
        absl::StrCat("--format=", FLAGS_format, ": allowed are criteo, libsvm"));
  }
  options.files.hash_buckets = FLAGS_hash_buckets;
  options.files.skip_bad_lines = FLAGS_skip_bad_lines;
  PARLEY_RETURN_IF_ERROR(CheckMetricsFlags());
  const std::shared_ptr<Metrics> metrics = NewTaskMetrics("ctr");
  options.files.metrics = metrics.get();
  const std::unique_ptr<MetricsEndpoint> endpoint = ServeMetricsOfFlags("ctr", metrics);

  if (FLAGS_row_cache_mb < 0 || FLAGS_row_cache_mb > 1 << 20 || FLAGS_row_staleness < 0) {
    return absl::InvalidArgumentError(
        "--row_cache_mb is in [0, 1048576], and --row_staleness at least 0");
  }

  if (FLAGS_memory_limit_mb < 0 || FLAGS_memory_limit_mb > 1 << 20) {
    return absl::InvalidArgumentError("--memory_limit_mb is in [0, 1048576]");
  }
  if ((FLAGS_memory_limit_mb > 0) != !FLAGS_spill_dir.empty()) {
    return absl::InvalidArgumentError("--memory_limit_mb and --spill_dir go together");
  }

  InProcessJob job;
  const auto rows_dtype = ParseRowDType(FLAGS_rows_dtype);
  if (!rows_dtype.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rows_dtype: ", rows_dtype.status().message()));
  }
  job.client.push_rows_dtype = *rows_dtype;
  job.client.pull_rows_dtype = job.client.push_rows_dtype;
  job.client.row_cache.bytes = static_cast<size_t>(FLAGS_row_cache_mb) << 20;
  job.client.row_cache.staleness = FLAGS_row_staleness;
  job.client.row_cache.keep_pushed = true;
  job.spec.set_name("ctr");
  job.spec.set_seed(FLAGS_seed);
  job.spec.set_num_workers(FLAGS_workers);
  job.spec.set_num_shards(FLAGS_shards);
  job.spec.mutable_optimizer()->set_learning_rate(static_cast<float>(FLAGS_learning_rate));
  job.spec.mutable_optimizer()->mutable_adam();
  job.spec.mutable_policy()->mutable_synchronous();
  v1::TableSpec* const table = job.spec.add_tables();
  *table = ClickTask::Table(FLAGS_width, static_cast<float>(FLAGS_row_learning_rate));
  table->set_memory_limit(FLAGS_memory_limit_mb << 20);
  job.spill_folder = FLAGS_spill_dir;
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
  const auto& measures = summary.evaluation.metrics;
  if (options.train_files.empty()) {
    std::cout << "AUC below the best possible one by " << measures[1].second - measures[0].second
              << std::endl;
  } else if (FLAGS_skip_bad_lines) {
    std::cout << "faulty lines: "
              << ValueOf(metrics->Collect(), "parley_worker_bad_lines_total").value_or(0)
              << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags(
      {"ctr",
       "usage: ctr [flags]\n\nLearns who clicks, with embeddings in a table, in one process.",
       {{"Flags",
         {"model",
          "fields",
          "ids",
          "zipf",
          "examples",
          "epochs",
          "batch_size",
          "width",
          "hidden",
          "workers",
          "shards",
          "learning_rate",
          "row_learning_rate",
          "async_rows",
          "rows_dtype",
          "row_cache_mb",
          "row_staleness",
          "memory_limit_mb",
          "spill_dir",
          "seed"}},
        {"Files",
         {"train_files", "test_files", "format", "max_features", "hash_buckets", "skip_bad_lines"}},
        {"Being watched", {"metrics_port"}}}},
      argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "ctr: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
