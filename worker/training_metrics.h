#ifndef PARLEY_WORKER_TRAINING_METRICS_H_
#define PARLEY_WORKER_TRAINING_METRICS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "worker/client.h"
#include "worker/trainer.h"

namespace parley {

// What a worker tells Prometheus (docs/operations.md lists the names): how its training goes, and
// what its client has sent. A step adds to plain numbers, which are asked for when somebody looks.
// Thread safety: none; called by the thread that runs the Trainer, and read by others through the
// Metrics. The client must outlive it.
class TrainingMetrics final : public TrainingObserver {
 public:
  TrainingMetrics(std::shared_ptr<Metrics> metrics, const Client* client);

  void OnStep(const Progress& progress) override;
  bool WantsValues(const Progress& progress) override;
  void OnValues(const Progress& progress, absl::Span<const absl::Span<float>> parameters,
                absl::Span<const absl::Span<float>> gradients) override;
  void OnEvaluation(const Progress& progress, const Evaluation& evaluation,
                    absl::Duration took) override;
  void OnCheckpoint(int64_t step, const std::string& manifest) override;

 private:
  // Of step_seconds: 1 ms, 2 ms, and so on; the last has no upper bound.
  static constexpr size_t kStepBounds = 17;

  void AddSteps(MetricSamples* samples) const;

  const std::shared_ptr<Metrics> metrics_;
  const Client* const client_;
  const std::vector<double> step_bounds_;
  int64_t observed_ = 0;  // steps

  mutable Mutex mutex_;
  // Nothing before the first step.
  absl::optional<Progress> last_ ABSL_GUARDED_BY(mutex_);
  int64_t steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t skipped_steps_ ABSL_GUARDED_BY(mutex_) = 0;
  StepTime sum_ ABSL_GUARDED_BY(mutex_);  // without its parts of the wait
  absl::Duration other_ ABSL_GUARDED_BY(mutex_);
  std::array<int64_t, kStepBounds + 1> step_counts_ ABSL_GUARDED_BY(mutex_) = {};
  double gradient_norm_ ABSL_GUARDED_BY(mutex_) = 0;

  std::unique_ptr<Metrics::Source> source_;  // the first to go: it reads the others
};

}  // namespace parley

#endif  // PARLEY_WORKER_TRAINING_METRICS_H_
