#ifndef PARLEY_WORKER_VITALS_H_
#define PARLEY_WORKER_VITALS_H_

#include <cstdint>
#include <map>

#include "base/mutex.h"
#include "proto/parameter_server.pb.h"

namespace parley {

// What a worker's heartbeats say of it to those who watch the job, and what the shards' answers ask
// of it. One for all sessions of a client. Thread safety: safe from any thread.
class Vitals {
 public:
  // What the next heartbeats say. `report` without a checkpoint leaves what was said of one.
  void Report(const v1::WorkerReport& report);
  void ReportCheckpoint(v1::CheckpointReport checkpoint);
  // Empty until something was reported.
  v1::WorkerReport report() const;

  // Shard `shard` has answered a heartbeat.
  void Answered(int shard, const v1::HeartbeatResponse& answer);

  // Whether any shard was asked to stop, ever; and for good.
  bool draining() const;
  bool stopping() const;
  // A checkpoint that was asked for and not reported; 0: none.
  uint64_t checkpoint_ticket() const;
  // The number of workers that all of `shards` shards say the job is to have; 0: not all say the
  // same.
  int workers(int shards) const;

 private:
  mutable Mutex mutex_;
  v1::WorkerReport report_ ABSL_GUARDED_BY(mutex_);
  std::map<int, uint64_t> tickets_ ABSL_GUARDED_BY(mutex_);  // by shard, as it said last
  std::map<int, int> workers_ ABSL_GUARDED_BY(mutex_);       // likewise
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace parley

#endif  // PARLEY_WORKER_VITALS_H_
