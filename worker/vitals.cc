#include "worker/vitals.h"

#include <utility>

namespace parley {

void Vitals::Report(const v1::WorkerReport& report) {
  MutexLock lock(&mutex_);
  report_.MergeFrom(report);
}

void Vitals::ReportCheckpoint(v1::CheckpointReport checkpoint) {
  MutexLock lock(&mutex_);
  // Who waits for the ticket asks now and then: a checkpoint of later must not hide it.
  if (checkpoint.ticket() == 0) checkpoint.set_ticket(report_.checkpoint().ticket());
  *report_.mutable_checkpoint() = std::move(checkpoint);
}

v1::WorkerReport Vitals::report() const {
  MutexLock lock(&mutex_);
  return report_;
}

void Vitals::Answered(int shard, const v1::HeartbeatResponse& answer) {
  MutexLock lock(&mutex_);
  draining_ = draining_ || answer.draining();
  stopping_ = stopping_ || answer.stopping();
  tickets_[shard] = answer.checkpoint_ticket();
  workers_[shard] = answer.workers();
}

bool Vitals::draining() const {
  MutexLock lock(&mutex_);
  return draining_;
}

bool Vitals::stopping() const {
  MutexLock lock(&mutex_);
  return stopping_;
}

int Vitals::workers(int shards) const {
  MutexLock lock(&mutex_);
  if (static_cast<int>(workers_.size()) != shards) return 0;
  const int first = workers_.begin()->second;
  for (const auto& [shard, workers] : workers_) {
    if (workers != first) return 0;
  }
  return first;
}

uint64_t Vitals::checkpoint_ticket() const {
  MutexLock lock(&mutex_);
  for (const auto& [shard, ticket] : tickets_) {
    // The shard says it until a heartbeat has told it of the answer.
    if (ticket != 0 && ticket != report_.checkpoint().ticket()) return ticket;
  }
  return 0;
}

}  // namespace parley
