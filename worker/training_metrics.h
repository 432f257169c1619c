#ifndef PARLEY_WORKER_TRAINING_METRICS_H_
#define PARLEY_WORKER_TRAINING_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "worker/client.h"
#include "worker/trainer.h"

namespace parley {

// What a worker tells Prometheus (docs/operations.md lists the names): how its training goes, and
// what its client has sent. Thread safety: none; called by the thread that runs the Trainer, and
// read by others through the Metrics. The client must outlive it.
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
  const std::shared_ptr<Metrics> metrics_;
  int64_t samples_ = 0;   // of the progress seen last
  int64_t observed_ = 0;  // steps
  // All of metrics_; constant after construction.
  prometheus::Counter* steps_;
  prometheus::Counter* skipped_steps_;
  prometheus::Counter* sample_count_;
  prometheus::Gauge* step_;
  prometheus::Gauge* planned_steps_;
  prometheus::Gauge* epoch_;
  prometheus::Gauge* loss_;
  prometheus::Gauge* accuracy_;
  prometheus::Gauge* gradient_norm_;
  prometheus::Histogram* step_seconds_;
  prometheus::Counter* compute_seconds_;
  prometheus::Counter* push_seconds_;
  prometheus::Counter* wait_seconds_;
  prometheus::Counter* other_seconds_;
  std::unique_ptr<Metrics::Source> source_;
};

}  // namespace parley

#endif  // PARLEY_WORKER_TRAINING_METRICS_H_
