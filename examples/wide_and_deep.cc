// Trains a wide-and-deep model (Cheng et al., 2016) on a table of visits to a shop: will the
// visitor buy? Columns of categories become embeddings, the city by a hash, for there might be
// many; numbers go in as they are. examples/make_visits.py makes the table:
//
//   examples/make_visits.py > visits.csv
//   wide_and_deep --data=visits.csv
//
// The same as
//
//   parley launch -- --model=wide_deep --data_dir=visits.csv --categorical_columns=city:64,...

#include <iostream>
#include <memory>

#include "base/flags.h"
#include "base/status.h"
#include "data/open_dataset.h"
#include "examples/in_process_job.h"
#include "gflags/gflags.h"
#include "worker/supervised_task.h"

DEFINE_string(data, "visits.csv", "The table; its last column is what to predict.");
DEFINE_string(categorical_columns, "city:64,device,product,weekday",
              "Columns of categories; name:N hashes to N ids.");
DEFINE_int32(epochs, 5, "How often to go over the table.");
DEFINE_int32(batch_size, 64, "Rows in a step of one worker.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_double(learning_rate, 0.003, "Of Adam.");
DEFINE_uint64(seed, 1, "Of first values and order.");

namespace parley {
namespace {

absl::Status Run() {
  data::CsvOptions csv;
  PARLEY_ASSIGN_OR_RETURN(csv.categorical,
                          data::ParseCategoricalColumns(FLAGS_categorical_columns));
  // Every fifth row is held out for the test.
  PARLEY_ASSIGN_OR_RETURN(const data::TrainAndTest data, data::OpenDataset(FLAGS_data, csv));

  const auto new_task = [&](int worker) {
    SupervisedTaskOptions options;
    options.model = "wide_deep";
    options.width = 8;  // of an embedding
    options.batch_size = FLAGS_batch_size;
    options.worker = worker;
    options.num_workers = FLAGS_workers;
    options.seed = FLAGS_seed;
    return SupervisedTask::Create(options, data);
  };
  PARLEY_ASSIGN_OR_RETURN(const auto task, new_task(0));

  InProcessJob job;
  job.spec.set_name("wide_and_deep");
  job.spec.set_seed(FLAGS_seed);
  job.spec.set_num_workers(FLAGS_workers);
  job.spec.set_num_shards(2);
  job.spec.mutable_optimizer()->set_learning_rate(static_cast<float>(FLAGS_learning_rate));
  job.spec.mutable_optimizer()->mutable_adam();
  job.spec.mutable_policy()->mutable_synchronous();
  job.steps = FLAGS_epochs * task->steps_per_epoch();
  job.evaluate_every = task->steps_per_epoch();
  return TrainInProcess(job, new_task).status();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags(
      {"wide_and_deep",
       "usage: wide_and_deep --data=TABLE [flags]\n\nTrains a wide-and-deep model on a table, in "
       "one process.",
       {{"Flags",
         {"data", "categorical_columns", "epochs", "batch_size", "workers", "learning_rate",
          "seed"}}}},
      argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "wide_and_deep: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
