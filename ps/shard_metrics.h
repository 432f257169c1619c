#ifndef PARLEY_PS_SHARD_METRICS_H_
#define PARLEY_PS_SHARD_METRICS_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "base/metrics.h"
#include "ps/shard_numbers.h"

namespace parley {

// What a shard tells Prometheus (docs/operations.md lists the names). Where it stands is asked for
// at each snapshot; what happens in between is counted here: once for a batch of rounds, a sync of
// the log, or a checkpoint. Without a Metrics it does nothing. Thread safety: safe from any thread.
class ShardMetrics {
 public:
  // Why the rounds of blocks took their time, after their last gradient had come.
  enum class Cause {
    kQueue,  // until the block's owner began
    kApply,  // summing the gradients and updating the block
    kKeep,   // until log and replica had it
  };

  // `read` is asked where the shard stands; nothing while there is no job. It is not called any
  // more when StopReading has returned. Its numbers get `labels`, where a task has several shards;
  // what is counted here is of all of them.
  ShardMetrics(std::shared_ptr<Metrics> metrics, std::function<absl::optional<ShardNumbers>()> read,
               MetricLabels labels = {});

  void StopReading() { source_.reset(); }

  // Whether anybody wants to know: what is measured for these calls only may be left out otherwise.
  bool enabled() const { return metrics_ != nullptr; }

  // Each of `rounds` rounds of blocks took so long for this cause.
  void RoundsTook(Cause cause, int64_t rounds, absl::Duration each);
  // A push or pull was answered with an error.
  void RequestFailed(const absl::Status& status);
  // `bytes` of records were made durable.
  void LogSynced(absl::Duration took, int64_t bytes);
  // This shard's file of a checkpoint is written, or was not to be written.
  void CheckpointWritten(absl::Duration took, int64_t bytes);
  void CheckpointFailed();

 private:
  prometheus::Counter* FailedRequests(absl::StatusCode code);

  const std::shared_ptr<Metrics> metrics_;  // null: nobody wants to know
  // All of metrics_; constant after construction.
  prometheus::Counter* waits_[3] = {};
  prometheus::Histogram* log_sync_seconds_ = nullptr;
  prometheus::Counter* log_bytes_ = nullptr;
  prometheus::Histogram* checkpoint_seconds_ = nullptr;
  prometheus::Gauge* checkpoint_bytes_ = nullptr;
  prometheus::Gauge* checkpoint_time_ = nullptr;
  prometheus::Counter* checkpoint_failures_ = nullptr;
  std::unique_ptr<Metrics::Source> source_;
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_METRICS_H_
