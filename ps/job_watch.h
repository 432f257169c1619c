#ifndef PARLEY_PS_JOB_WATCH_H_
#define PARLEY_PS_JOB_WATCH_H_

#include <cstdint>
#include <map>

#include "base/mutex.h"
#include "proto/parameter_server.pb.h"

namespace parley {

// What a shard is told by those who watch its job and steer it, and by which it decides nothing:
// what workers report of themselves, and what operators ask for, which heartbeats pass on to the
// workers. It is not written down: a shard that comes back has it again with the next heartbeats,
// and operators ask again. Thread safety: safe from any thread.
class JobWatch {
 public:
  // A heartbeat of `worker`, which is in the job, came with this, which may be empty.
  void Heard(int worker, v1::WorkerReport report);
  // What the answer to a heartbeat of `worker` says.
  void FillAnswer(int worker, v1::HeartbeatResponse* response) const;

  // That the chief makes a checkpoint; returns the ticket with which it will report it.
  uint64_t AskCheckpoint();
  // That the job ends: in order, and, when an operator stops it, for good.
  void SetDraining();
  void Stop();
  bool draining() const;
  bool stopping() const;

  // Adds what it knows; `response` has the workers already.
  void FillStatus(v1::GetStatusResponse* response) const;

 private:
  mutable Mutex mutex_;
  std::map<int, v1::WorkerReport> reports_ ABSL_GUARDED_BY(mutex_);  // by worker
  uint64_t ticket_ ABSL_GUARDED_BY(mutex_) = 0;                      // awaited; 0: none
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace parley

#endif  // PARLEY_PS_JOB_WATCH_H_
