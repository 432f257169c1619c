#ifndef PARLEY_WORKER_SUPERVISED_TASK_H_
#define PARLEY_WORKER_SUPERVISED_TASK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/open_dataset.h"
#include "worker/training_task.h"

namespace parley {

struct SupervisedTaskOptions {
  std::string model = "cnn";  // nn/models.h
  int batch_size = 64;        // of each worker
  int worker = 0;
  int num_workers = 1;
  uint64_t seed = 1;  // of the order of examples
};

// A TrainingTask made of a built-in model and a dataset: classes are learned by cross-entropy,
// numbers by squared error. The model reads its parameters and writes its gradients where the
// Trainer keeps them.
class SupervisedTask : public TrainingTask {
 public:
  // INVALID_ARGUMENT when the model is unknown or does not fit the data, or the batches do not fit
  // in it.
  static absl::StatusOr<std::unique_ptr<SupervisedTask>> Create(
      const SupervisedTaskOptions& options, data::TrainAndTest data);
  virtual int64_t steps_per_epoch() const = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_SUPERVISED_TASK_H_
