#ifndef PARLEY_WORKER_SUPERVISED_TASK_H_
#define PARLEY_WORKER_SUPERVISED_TASK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/trace.h"
#include "data/dataset.h"
#include "tensor/dtype.h"
#include "worker/training_task.h"

namespace parley {

class Backend;

struct SupervisedTaskOptions {
  std::string model = "cnn";  // nn/models.h, which says what the next four are and where they count
  int layers = 0;
  int width = 0;
  int heads = 0;
  double dropout = 0;
  Backend* backend = nullptr;     // where to compute; null: the CPU. Must outlive the task.
  DType dtype = DType::kFloat32;  // what to compute in: float32, bfloat16 or float16
  int batch_size = 64;            // examples, of each worker
  int worker = 0;
  int num_workers = 1;
  uint64_t seed = 1;             // of the order of examples, and of dropout
  std::shared_ptr<Trace> trace;  // null: nobody asked
};

// Whether a model learns from text (data/text.h), not from features.
bool IsLanguageModel(absl::string_view model);

// A TrainingTask made of a built-in model and a dataset. What is learned, and reported, follows
// from both:
//   classes                    cross-entropy; accuracy
//   the two classes of a table with wide_deep, which are one logit: binary cross-entropy; accuracy
//                              and "auc", the area under the ROC curve
//   text                       cross-entropy of each next byte; "perplexity", its exponential. A
//                              sample is a byte, a batch has batch_size windows of them.
//   numbers                    squared error
//
// Parameters are float32 at the shard and here, whatever is computed in. On the CPU the model reads
// them and writes their gradients where the Trainer keeps them; to and from another device they are
// copied, each gradient as soon as it is complete, beside the computing of others. With float16 the
// loss is scaled (loss_scale.h), and a step whose gradients are not finite is skipped.
class SupervisedTask : public TrainingTask {
 public:
  // INVALID_ARGUMENT when the model is unknown or does not fit the data, or the batches do not fit
  // in it.
  static absl::StatusOr<std::unique_ptr<SupervisedTask>> Create(
      const SupervisedTaskOptions& options, data::TrainAndTest data);
  virtual int64_t steps_per_epoch() const = 0;
  // Whether StepResult::correct means something.
  virtual bool has_accuracy() const = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_SUPERVISED_TASK_H_
