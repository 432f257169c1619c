#ifndef PARLEY_WORKER_TRAINING_TASK_H_
#define PARLEY_WORKER_TRAINING_TASK_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/job.pb.h"

namespace parley {

// What one step saw; sums over its samples are made by the caller.
struct StepResult {
  double loss = 0;  // mean over the samples
  int64_t samples = 0;
  int64_t correct = 0;  // predicted right; 0 where that means nothing
  // The gradients are of no use (a float16 one overflowed): the step must change nothing.
  bool skip = false;
};

struct Evaluation {
  double loss = 0;  // mean over the samples
  int64_t samples = 0;
  int64_t correct = 0;
  bool has_accuracy = false;  // whether `correct` means something
  // Further measures, by names of lower-case words: {"perplexity", 7.3}, {"auc", 0.91}.
  std::vector<std::pair<std::string, double>> metrics = {};

  double accuracy() const {
    return samples == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(samples);
  }
};

// Says that the gradient of a parameter is complete, and its values not read any more in this step:
// it may travel, and the values of the next step may arrive, while others are being computed.
using GradientReady = absl::FunctionRef<void(int parameter)>;

// What a user trains: parameters, and a function from these to gradients. Trainer drives it. A task
// knows nothing of shards, and Trainer nothing of models. Thread safety: called by one thread, the
// one that runs the Trainer.
class TrainingTask {
 public:
  virtual ~TrainingTask() = default;

  // The same in all workers, and in every call.
  virtual std::vector<v1::ParameterSpec> Parameters() const = 0;

  // Called once, first but for SetWorkers: from now on parameter i is read from parameters[i] and
  // its gradient written to gradients[i], both row-major float32 of its shape, aligned to
  // kBufferAlignment, and alive as long as the Trainer. `first_step` is the step that the first
  // ComputeGradients is for.
  virtual absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                             absl::Span<const absl::Span<float>> gradients, int64_t first_step) = 0;

  // From `step` on the job has `workers` workers: the batches of steps before that stay as they
  // are. Called between steps, with steps that rise; before a step that it concerns, or the call
  // says what was before first_step. The chief's task is asked before the others hear of it: an
  // error is the reason why it is not done. A task that does not say what it does then has none.
  virtual absl::Status SetWorkers(int64_t /*step*/, int /*workers*/) {
    return absl::UnimplementedError("it is not known which examples each of them would take");
  }

  // Reads the parameters and overwrites all gradients with those of the mean loss over this
  // worker's batch of `step`. Steps come in order; those that the job did without this worker are
  // left out. Calls `ready` for a parameter, at most once, where that can be before the end; those
  // that it was not called for are complete on return. A step that is skipped has called it for
  // none.
  virtual absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady ready) = 0;

  // The step is over. Skipped: it changed nothing, because this worker or, in a synchronous job,
  // any worker skipped it.
  virtual void StepEnded(int64_t /*step*/, bool /*skipped*/) {}

  // How good the parameters are on data that is not trained on.
  virtual absl::StatusOr<Evaluation> Evaluate() = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_TRAINING_TASK_H_
