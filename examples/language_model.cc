// Trains a language model, byte by byte, on the licences that Debian ships with every system: a
// transformer or an LSTM learns to say which byte comes next. The perplexity says between how many
// bytes it hesitates: 256 at first, a handful after a minute. The same as
//
//   parley launch -- --model=transformer --data_dir=/usr/share/common-licenses --time=64

#include <iostream>
#include <memory>

#include "base/flags.h"
#include "base/status.h"
#include "data/subset.h"
#include "data/text.h"
#include "examples/in_process_job.h"
#include "gflags/gflags.h"
#include "worker/supervised_task.h"

DEFINE_string(data_dir, "/usr/share/common-licenses", "A text file, or a folder of them.");
DEFINE_string(model, "transformer", "transformer or lstm.");
DEFINE_int32(time, 64, "Bytes that are read at once.");
DEFINE_int32(layers, 2, "Layers of the model.");
DEFINE_int32(width, 64, "Units of a layer.");
DEFINE_int64(steps, 800, "Steps of each worker.");
DEFINE_int32(batch_size, 16, "Windows of --time bytes in a step of one worker.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_double(learning_rate, 0.003, "Of Adam.");
DEFINE_uint64(seed, 1, "Of first values and order.");

namespace parley {
namespace {

absl::Status Run() {
  if (!IsLanguageModel(FLAGS_model)) {
    return absl::InvalidArgumentError("--model is neither transformer nor lstm");
  }
  // The last tenth of the text is held out; some of it is enough for a look at how things are.
  PARLEY_ASSIGN_OR_RETURN(data::TrainAndTest data, data::OpenText(FLAGS_data_dir, FLAGS_time));
  data.test = data::FirstExamples(data.test, 128);

  const auto new_task = [&](int worker) {
    SupervisedTaskOptions options;
    options.model = FLAGS_model;
    options.layers = FLAGS_layers;
    options.width = FLAGS_width;
    options.batch_size = FLAGS_batch_size;
    options.worker = worker;
    options.num_workers = FLAGS_workers;
    options.seed = FLAGS_seed;
    return SupervisedTask::Create(options, data);
  };
  PARLEY_ASSIGN_OR_RETURN(const auto task, new_task(0));

  InProcessJob job;
  job.spec.set_name("language_model");
  job.spec.set_seed(FLAGS_seed);
  job.spec.set_num_workers(FLAGS_workers);
  job.spec.set_num_shards(2);
  job.spec.mutable_optimizer()->set_learning_rate(static_cast<float>(FLAGS_learning_rate));
  job.spec.mutable_optimizer()->mutable_adam();
  job.spec.mutable_policy()->mutable_synchronous();
  job.steps = FLAGS_steps;
  job.evaluate_every = task->steps_per_epoch();
  return TrainInProcess(job, new_task).status();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags({"language_model",
                      "usage: language_model [flags]\n\nTrains a language model on text, in one "
                      "process.",
                      {{"Flags",
                        {"data_dir", "model", "time", "layers", "width", "steps", "batch_size",
                         "workers", "learning_rate", "seed"}}}},
                     argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "language_model: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
