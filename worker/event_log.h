#ifndef PARLEY_WORKER_EVENT_LOG_H_
#define PARLEY_WORKER_EVENT_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/env.h"
#include "worker/event_writer.h"
#include "worker/trainer.h"

namespace parley {

struct EventLogOptions {
  std::string folder;           // where TensorBoard looks (--logdir)
  int64_t scalars_every = 100;  // steps; > 0
  // Steps between histograms of all parameters and gradients, which cost a pass over both; 0: none.
  int64_t histograms_every = 1000;
  std::vector<std::string> parameters;  // names, by the task's order
  // Names and values: what the run is compared by, and all that was said of it.
  std::vector<std::pair<std::string, std::string>> hyper_parameters;
  std::vector<std::pair<std::string, std::string>> flags;
  Env* env = Env::Posix();
};

// Writes how training goes for TensorBoard: scalars (train/loss and train/accuracy, means over the
// steps since the last; train/gradient_norm, with histograms; speed/..., test/...), histograms
// (parameters/<name>, gradients/<name>), the hyper-parameters, and the flags as text. The step of
// an event is the number of steps done; where a run goes on from an earlier step, what earlier runs
// wrote in the folder for later ones counts no more. Thread safety: none; called by the thread that
// runs the Trainer. Writing is in the background (EventWriter).
class EventLog final : public TrainingObserver {
 public:
  // Errors are of the folder.
  static absl::StatusOr<std::unique_ptr<EventLog>> Create(EventLogOptions options);
  // Training is over.
  ~EventLog() override;

  void OnStep(const Progress& progress) override;
  bool WantsValues(const Progress& progress) override;
  void OnValues(const Progress& progress, absl::Span<const absl::Span<float>> parameters,
                absl::Span<const absl::Span<float>> gradients) override;
  void OnEvaluation(const Progress& progress, const Evaluation& evaluation,
                    absl::Duration took) override;

  // Whether the run ended as it should, for the table of hyper-parameters.
  void SetSucceeded() { succeeded_ = true; }

  const std::string& path() const { return writer_->path(); }

 private:
  EventLog(EventLogOptions options, std::unique_ptr<EventWriter> writer);
  void WriteBeginning();

  const EventLogOptions options_;
  const std::unique_ptr<EventWriter> writer_;
  bool succeeded_ = false;
  bool started_ = false;  // the first step was seen
  // Since the last scalars.
  int64_t steps_ = 0;
  double loss_ = 0;      // sum
  double accuracy_ = 0;  // sum
  bool has_accuracy_ = false;
  StepTime time_;  // sums
  int64_t samples_before_ = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_EVENT_LOG_H_
