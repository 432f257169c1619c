#ifndef PARLEY_WORKER_REPORT_H_
#define PARLEY_WORKER_REPORT_H_

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "worker/trainer.h"

namespace parley {

// What a run was, for its report.
struct RunDescription {
  std::string model;
  std::string policy;
  uint64_t seed = 0;
  int workers = 1;
  int shards = 1;
  int64_t epochs = 0;
};

// "progress: epoch 1/5 step 120/468 loss 0.4321 accuracy 0.84 5230 samples/s 0:42 left". The rate
// is that of all workers, taken to be as fast as this one. Without `classes`, no accuracy.
std::string FormatProgress(const Progress& progress, int workers, bool classes);

// The short table at the end, each line beginning with "| ".
std::string FormatTable(const RunDescription& run, const TrainingSummary& summary);

// The same as one JSON object: accuracy (null without classes), loss, each of the evaluation's
// further measures under its name (perplexity, auc), seconds,
// samples_per_second_per_worker, bytes_pulled, bytes_pushed, staleness_mean, staleness_max,
// staleness_counts ({"0": 12, "16-31": 3}: how many gradients of blocks had which), pushes (their
// sum), dropped (those that came too late), steps, epochs, workers, shards, policy, model, seed. A
// number that is not finite is null. Policy and model are names of Parley's, which need no escapes.
std::string FormatJson(const RunDescription& run, const TrainingSummary& summary);

// Prints a chief's progress: on a terminal one live line, elsewhere at most a line a second; and a
// line for each evaluation and checkpoint. Thread safety: none.
class Report final : public TrainingObserver {
 public:
  Report(RunDescription run, bool classes, bool terminal, std::ostream* out,
         Env* env = Env::Posix());

  void OnStep(const Progress& progress) override;
  void OnEvaluation(const Progress& progress, const Evaluation& evaluation,
                    absl::Duration took) override;
  void OnCheckpoint(int64_t step, const std::string& manifest) override;

 private:
  // Ends the live line, if there is one.
  void ClearLine();

  const RunDescription run_;
  const bool classes_;
  const bool terminal_;
  std::ostream* const out_;
  Env* const env_;
  absl::Time last_ = absl::InfinitePast();  // when a progress line was printed
  bool live_ = false;
};

}  // namespace parley

#endif  // PARLEY_WORKER_REPORT_H_
