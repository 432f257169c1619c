// Trains ResNet-18 (He et al., 2016) on images of 32x32: CIFAR-10, or Fashion-MNIST, whose images
// of 28x28 get a border. Two workers share the examples; every gradient of a step becomes one
// update (policy sync), momentum and the moving statistics of the batch normalisation live on the
// shards. The same as
//
//   parley launch -- --model=resnet18 --data_dir=FOLDER --optimizer=momentum --learning_rate=0.02

#include <iostream>
#include <memory>

#include "base/flags.h"
#include "base/status.h"
#include "data/open_dataset.h"
#include "data/subset.h"
#include "examples/in_process_job.h"
#include "gflags/gflags.h"
#include "worker/supervised_task.h"

DEFINE_string(data_dir, "/usr/share/datasets/fashion-mnist",
              "A folder with the files of CIFAR-10's binary version, or of Fashion-MNIST.");
DEFINE_int64(examples, 1600, "How many of the examples to train on.");
DEFINE_int64(test_examples, 500, "How many to test with.");
DEFINE_int32(epochs, 1, "How often to go over them.");
DEFINE_int32(batch_size, 32, "Examples in a step of one worker.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_double(learning_rate, 0.02, "Of SGD with momentum 0.9.");
DEFINE_uint64(seed, 1, "Of first values and order.");

namespace parley {
namespace {

absl::Status Run() {
  data::ImageOptions images;
  images.pad_to = 32;
  PARLEY_ASSIGN_OR_RETURN(data::TrainAndTest data, data::OpenDataset(FLAGS_data_dir, {}, images));
  data.train = data::FirstExamples(data.train, FLAGS_examples);
  data.test = data::FirstExamples(data.test, FLAGS_test_examples);

  const auto new_task = [&](int worker) {
    SupervisedTaskOptions options;
    options.model = "resnet18";
    options.batch_size = FLAGS_batch_size;
    options.worker = worker;
    options.num_workers = FLAGS_workers;
    options.seed = FLAGS_seed;
    return SupervisedTask::Create(options, data);
  };
  PARLEY_ASSIGN_OR_RETURN(const auto task, new_task(0));

  InProcessJob job;
  job.spec.set_name("resnet18");
  job.spec.set_seed(FLAGS_seed);
  job.spec.set_num_workers(FLAGS_workers);
  job.spec.set_num_shards(2);
  job.spec.mutable_optimizer()->set_learning_rate(static_cast<float>(FLAGS_learning_rate));
  job.spec.mutable_optimizer()->mutable_momentum()->set_momentum(0.9f);
  job.spec.mutable_policy()->mutable_synchronous();
  job.steps = FLAGS_epochs * task->steps_per_epoch();
  job.evaluate_every = task->steps_per_epoch();
  job.print_every = 5;
  return TrainInProcess(job, new_task).status();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags({"resnet18",
                      "usage: resnet18 [flags]\n\nTrains ResNet-18 on images, in one process.",
                      {{"Flags",
                        {"data_dir", "examples", "test_examples", "epochs", "batch_size", "workers",
                         "learning_rate", "seed"}}}},
                     argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "resnet18: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
