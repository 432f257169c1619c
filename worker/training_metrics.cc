#include "worker/training_metrics.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace parley {
namespace {

// The norm takes a pass over the gradients, which costs under a thousandth of a step at this rate.
constexpr int64_t kNormEvery = 100;  // steps

constexpr char kPhaseName[] = "parley_worker_step_phase_seconds_total";
constexpr char kPhaseHelp[] =
    "Time of steps by what it was spent on: computing gradients, cutting and handing them over, "
    "waiting for the shards, the rest.";

double SquaredNorm(absl::Span<const float> values) {
  // Several sums, so that no addition waits for the one before it.
  constexpr size_t kLanes = 16;
  double total = 0;
  constexpr size_t kChunk = 4096;  // a float32 sum of so many squares is exact enough
  for (size_t begin = 0; begin < values.size(); begin += kChunk) {
    const absl::Span<const float> chunk = values.subspan(begin, kChunk);
    float sums[kLanes] = {};
    size_t i = 0;
    for (; i + kLanes <= chunk.size(); i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += chunk[i + lane] * chunk[i + lane];
      }
    }
    for (; i < chunk.size(); ++i) total += double{chunk[i]} * chunk[i];
    for (const float sum : sums) total += sum;
  }
  return total;
}

}  // namespace

TrainingMetrics::TrainingMetrics(std::shared_ptr<Metrics> metrics, const Client* client)
    : metrics_(std::move(metrics)),
      client_(client),
      step_bounds_(ExponentialBounds(0.001, 2, kStepBounds)) {
  source_ = metrics_->AddSource([this](MetricSamples* samples) {
    AddSteps(samples);
    samples->AddCounter("parley_worker_pushed_bytes_total",
                        "Payloads of gradients sent, repetitions included.",
                        static_cast<double>(client_->bytes_pushed()));
    samples->AddCounter("parley_worker_pulled_bytes_total", "Payloads of parameters taken.",
                        static_cast<double>(client_->bytes_pulled()));
    const Client::Requests requests = client_->requests();
    samples->AddGauge("parley_worker_requests_queued",
                      "Pushes and pulls that wait for others to be answered.",
                      static_cast<double>(requests.queued));
    samples->AddGauge("parley_worker_requests_in_flight", "Pushes and pulls that are under way.",
                      static_cast<double>(requests.in_flight));
    samples->AddCounter("parley_worker_request_retries_total",
                        "Requests sent again, after the transport had lost them.",
                        static_cast<double>(requests.retries));
    const RowCache::Counts rows = client_->row_cache();
    if (rows.hits + rows.misses == 0) return;
    samples->AddCounter("parley_worker_row_cache_hits_total",
                        "Rows of tables that a pull found in the row cache.",
                        static_cast<double>(rows.hits));
    samples->AddCounter("parley_worker_row_cache_misses_total",
                        "Rows of tables that a pull did not find in the row cache.",
                        static_cast<double>(rows.misses));
    samples->AddGauge("parley_worker_row_cache_bytes", "What the row cache takes.",
                      static_cast<double>(rows.bytes));
  });
}

void TrainingMetrics::AddSteps(MetricSamples* samples) const {
  MutexLock lock(&mutex_);
  const Progress last = last_.value_or(Progress());
  const auto counter = [&](const char* name, const char* help, int64_t value) {
    samples->AddCounter(name, help, static_cast<double>(value));
  };
  const auto gauge = [&](const char* name, const char* help, double value) {
    samples->AddGauge(name, help, value);
  };
  counter("parley_worker_steps_total", "Steps done since this task's start.", steps_);
  counter("parley_worker_skipped_steps_total",
          "Steps that changed nothing, for a gradient overflowed.", skipped_steps_);
  counter("parley_worker_samples_total", "Samples computed.", last.samples);
  gauge("parley_worker_step", "Steps of this worker since the job began.",
        static_cast<double>(last.step));
  gauge("parley_worker_planned_steps", "Steps of this worker in the job.",
        static_cast<double>(last.steps));
  gauge("parley_worker_epoch", "The epoch of the last step, from 1.",
        static_cast<double>(last.epoch));
  gauge("parley_worker_loss", "Mean loss over the last step's samples.", last.loss);
  gauge("parley_worker_accuracy_ratio",
        "Share of the last step's samples that were predicted right.", last.accuracy);
  gauge("parley_worker_gradient_norm", "Norm of all gradients together, now and then.",
        gradient_norm_);
  samples->AddHistogram("parley_worker_step_seconds", "Whole steps.", step_bounds_, step_counts_,
                        absl::ToDoubleSeconds(sum_.whole));
  const auto phase = [&](const char* name, absl::Duration time) {
    samples->AddCounter(kPhaseName, kPhaseHelp, absl::ToDoubleSeconds(time), {{"phase", name}});
  };
  phase("compute", sum_.compute);
  phase("push", sum_.push);
  phase("wait", sum_.wait);
  phase("other", other_);
}

void TrainingMetrics::OnStep(const Progress& progress) {
  ++observed_;
  const StepTime& time = progress.time;
  const auto bound =
      std::lower_bound(step_bounds_.begin(), step_bounds_.end(), absl::ToDoubleSeconds(time.whole));
  MutexLock lock(&mutex_);
  last_ = progress;
  ++steps_;
  if (progress.skipped) ++skipped_steps_;
  sum_.whole += time.whole;
  sum_.compute += time.compute;
  sum_.push += time.push;
  sum_.wait += time.wait;
  other_ += std::max(absl::ZeroDuration(), time.whole - time.compute - time.push - time.wait);
  ++step_counts_[static_cast<size_t>(bound - step_bounds_.begin())];
}

bool TrainingMetrics::WantsValues(const Progress&) { return observed_ % kNormEvery == 1; }

void TrainingMetrics::OnValues(const Progress&, absl::Span<const absl::Span<float>> /*parameters*/,
                               absl::Span<const absl::Span<float>> gradients) {
  double sum = 0;
  for (const absl::Span<float> gradient : gradients) sum += SquaredNorm(gradient);
  MutexLock lock(&mutex_);
  gradient_norm_ = std::sqrt(sum);
}

void TrainingMetrics::OnEvaluation(const Progress&, const Evaluation& evaluation,
                                   absl::Duration took) {
  constexpr char kName[] = "parley_job_evaluation";
  constexpr char kHelp[] =
      "The chief's last evaluation: loss, accuracy (where the model has one), other measures.";
  metrics_->NewGauge(kName, kHelp, {{"measure", "loss"}})->Set(evaluation.loss);
  if (evaluation.has_accuracy) {
    metrics_->NewGauge(kName, kHelp, {{"measure", "accuracy"}})->Set(evaluation.accuracy());
  }
  for (const auto& [name, value] : evaluation.metrics) {
    metrics_->NewGauge(kName, kHelp, {{"measure", name}})->Set(value);
  }
  metrics_->NewGauge("parley_job_evaluation_seconds", "What the last evaluation took.")
      ->Set(absl::ToDoubleSeconds(took));
}

void TrainingMetrics::OnCheckpoint(int64_t step, const std::string& /*manifest*/) {
  metrics_
      ->NewGauge("parley_job_checkpoint_last_success_timestamp_seconds",
                 "When the chief made its last checkpoint valid, Unix time.")
      ->SetToCurrentTime();
  metrics_->NewGauge("parley_job_checkpoint_step", "The step of that checkpoint.")
      ->Set(static_cast<double>(step));
}

}  // namespace parley
