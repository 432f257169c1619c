#include "ps/shard_metrics.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

constexpr char kWaitName[] = "parley_shard_round_wait_seconds_total";
constexpr char kWaitHelp[] =
    "Time that rounds of blocks took, summed over them, by what it was spent on: waiting for a "
    "worker whose gradient came last, or for the members to change; in the owner's queue; being "
    "applied; until log and replica had them.";

void AddWorkers(const ShardNumbers& numbers, MetricSamples* samples) {
  int live = 0;
  int left = 0;
  int silent = 0;
  for (size_t i = 0; i < numbers.workers.size(); ++i) {
    const ShardNumbers::Worker& worker = numbers.workers[i];
    const MetricLabels labels = {{"worker", absl::StrCat(i)}};
    live += worker.live && !worker.silent ? 1 : 0;
    left += worker.left ? 1 : 0;
    silent += worker.silent ? 1 : 0;
    samples->AddGauge("parley_shard_worker_clock_steps",
                      "Steps of a worker that are in every block.",
                      static_cast<double>(worker.clock), labels);
    samples->AddGauge("parley_shard_worker_silence_seconds",
                      "How long nothing was heard of a worker that is in the job.",
                      absl::ToDoubleSeconds(worker.silence), labels);
    samples->AddCounter(kWaitName, kWaitHelp, absl::ToDoubleSeconds(worker.waited_for),
                        {{"cause", absl::StrCat("worker:", i)}});
  }
  samples->AddCounter(kWaitName, kWaitHelp, absl::ToDoubleSeconds(numbers.waited_for_membership),
                      {{"cause", "membership"}});
  samples->AddGauge("parley_shard_workers", "Workers of the job, by whether they are in it.", live,
                    {{"state", "live"}});
  samples->AddGauge("parley_shard_workers", "", left, {{"state", "left"}});
  samples->AddGauge("parley_shard_workers", "", silent, {{"state", "silent"}});
  samples->AddGauge("parley_shard_workers", "",
                    static_cast<double>(numbers.workers.size()) - live - left - silent,
                    {{"state", "absent"}});
}

void AddStaleness(const StalenessHistogram& staleness, MetricSamples* samples) {
  // The last bucket of those in use has no upper bound.
  std::vector<double> bounds;
  for (size_t i = 0; i < StalenessHistogram::kExact; ++i) bounds.push_back(static_cast<double>(i));
  constexpr int kDoublings = 8;
  for (int i = 1; i <= kDoublings; ++i) {
    bounds.push_back(static_cast<double>((StalenessHistogram::kExact << i) - 1));
  }
  samples->AddHistogram("parley_shard_staleness_rounds",
                        "Rounds by which block gradients, taken into a round, were stale.", bounds,
                        staleness.counts(), static_cast<double>(staleness.sum()));
}

void AddNumbers(const ShardNumbers& numbers, MetricSamples* samples) {
  const auto gauge = [&](const char* name, const char* help, int64_t value,
                         const MetricLabels& labels = {}) {
    samples->AddGauge(name, help, static_cast<double>(value), labels);
  };
  const auto counter = [&](const char* name, const char* help, int64_t value,
                           const MetricLabels& labels = {}) {
    samples->AddCounter(name, help, static_cast<double>(value), labels);
  };
  gauge("parley_shard_blocks", "Blocks of parameters that the shard holds.", numbers.blocks);
  gauge("parley_shard_parameter_bytes", "Parameters that the shard holds, without slots.",
        numbers.bytes);
  counter("parley_shard_rounds_applied_total", "Rounds applied, summed over blocks.",
          numbers.rounds);
  gauge("parley_shard_rounds_queued", "Rounds that are complete and not applied, over blocks.",
        numbers.rounds_queued);
  gauge("parley_shard_version_rounds", "Rounds since the job began, of the blocks at the ends.",
        numbers.min_version, {{"block", "furthest_behind"}});
  gauge("parley_shard_version_rounds", "", numbers.max_version, {{"block", "furthest_ahead"}});
  AddStaleness(numbers.staleness, samples);
  constexpr char kGradients[] = "parley_shard_gradients_total";
  counter(kGradients,
          "Block gradients that came: taken into a round, too late for theirs, or repeated.",
          numbers.staleness.pushes(), {{"outcome", "taken"}});
  counter(kGradients, "", numbers.late, {{"outcome", "late"}});
  counter(kGradients, "", numbers.duplicate, {{"outcome", "duplicate"}});
  constexpr char kWaiting[] = "parley_shard_requests_waiting";
  gauge(kWaiting, "Requests that wait for an answer, by what they are.", numbers.push_pulls_waiting,
        {{"kind", "push_pull"}});
  gauge(kWaiting, "", numbers.joins_waiting, {{"kind", "join"}});
  gauge(kWaiting, "", numbers.barriers_waiting, {{"kind", "barrier"}});
  counter("parley_shard_pushed_bytes_total", "Payloads of gradients taken.", numbers.bytes_pushed);
  counter("parley_shard_pulled_bytes_total", "Payloads of parameters sent.", numbers.bytes_pulled);
  AddWorkers(numbers, samples);
  if (numbers.log_waiting.has_value()) {
    gauge("parley_log_queue_batches", "Batches of records that the log's thread has not taken up.",
          *numbers.log_waiting);
  }
  if (numbers.replica.has_value()) {
    gauge("parley_replica_whole", "1 while the copy at another task has every block, else 0.",
          numbers.replica->whole ? 1 : 0);
    gauge("parley_replica_queue_batches", "Batches of records that the copy has not.",
          numbers.replica->waiting);
    samples->AddGauge("parley_replica_lag_seconds", "Age of the oldest record that the copy lacks.",
                      absl::ToDoubleSeconds(numbers.replica->lag));
  }
}

}  // namespace

ShardMetrics::ShardMetrics(std::shared_ptr<Metrics> metrics,
                           std::function<absl::optional<ShardNumbers>()> read, MetricLabels labels)
    : metrics_(std::move(metrics)) {
  if (metrics_ == nullptr) return;
  const char* const causes[] = {"queue", "apply", "keep"};
  for (size_t i = 0; i < 3; ++i) {
    waits_[i] = metrics_->NewCounter(kWaitName, kWaitHelp, {{"cause", causes[i]}});
  }
  log_sync_seconds_ = metrics_->NewHistogram(
      "parley_log_sync_seconds", "Syncs of the log to its disk.", ExponentialBounds(0.0001, 2, 16));
  log_bytes_ = metrics_->NewCounter("parley_log_written_bytes_total", "Records of the log.");
  checkpoint_seconds_ = metrics_->NewHistogram("parley_checkpoint_write_seconds",
                                               "Writing this shard's files of checkpoints.",
                                               ExponentialBounds(0.01, 2, 16));
  checkpoint_bytes_ =
      metrics_->NewGauge("parley_checkpoint_bytes", "This shard's file of the last checkpoint.");
  checkpoint_time_ = metrics_->NewGauge(
      "parley_checkpoint_last_success_timestamp_seconds",
      "When this shard wrote its last file of a checkpoint, Unix time; 0: never.");
  checkpoint_failures_ = metrics_->NewCounter("parley_checkpoint_failures_total",
                                              "Files of checkpoints that could not be written.");
  // At zero from the start: a rate needs a first value.
  for (const absl::StatusCode code :
       {absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition,
        absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kAborted,
        absl::StatusCode::kResourceExhausted, absl::StatusCode::kUnavailable}) {
    FailedRequests(code);
  }
  source_ = metrics_->AddSource(
      [read = std::move(read)](MetricSamples* samples) {
        const absl::optional<ShardNumbers> numbers = read();
        if (numbers.has_value()) AddNumbers(*numbers, samples);
      },
      std::move(labels));
}

void ShardMetrics::RoundsTook(Cause cause, int64_t rounds, absl::Duration each) {
  if (metrics_ == nullptr) return;
  waits_[static_cast<size_t>(cause)]->Increment(static_cast<double>(rounds) *
                                                absl::ToDoubleSeconds(each));
}

prometheus::Counter* ShardMetrics::FailedRequests(absl::StatusCode code) {
  return metrics_->NewCounter("parley_shard_failed_requests_total",
                              "Pushes and pulls that were answered with an error, by its code.",
                              {{"code", absl::StatusCodeToString(code)}});
}

void ShardMetrics::RequestFailed(const absl::Status& status) {
  if (metrics_ != nullptr) FailedRequests(status.code())->Increment();
}

void ShardMetrics::LogSynced(absl::Duration took, int64_t bytes) {
  if (metrics_ == nullptr) return;
  log_sync_seconds_->Observe(absl::ToDoubleSeconds(took));
  log_bytes_->Increment(static_cast<double>(bytes));
}

void ShardMetrics::CheckpointWritten(absl::Duration took, int64_t bytes) {
  if (metrics_ == nullptr) return;
  checkpoint_seconds_->Observe(absl::ToDoubleSeconds(took));
  checkpoint_bytes_->Set(static_cast<double>(bytes));
  checkpoint_time_->SetToCurrentTime();
}

void ShardMetrics::CheckpointFailed() {
  if (metrics_ != nullptr) checkpoint_failures_->Increment();
}

}  // namespace parley
