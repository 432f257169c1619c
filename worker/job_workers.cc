#include "worker/job_workers.h"

#include "absl/strings/str_cat.h"

namespace parley {

absl::Status JobWorkers::Learn(const google::protobuf::RepeatedPtrField<v1::WorkerCount>& said) {
  if (said.empty()) return absl::OkStatus();
  MutexLock lock(&mutex_);
  const absl::Status learnt = counts_.AddAll(said);
  if (learnt.ok()) return learnt;
  return absl::InternalError(absl::StrCat("malformed answer: ", learnt.message()));
}

void JobWorkers::SetFirst(int first) {
  MutexLock lock(&mutex_);
  counts_ = WorkerCounts(first);
}

absl::Status JobWorkers::Set(int64_t from_step, int count) {
  MutexLock lock(&mutex_);
  return counts_.Add(from_step, count);
}

WorkerCounts JobWorkers::counts() const {
  MutexLock lock(&mutex_);
  return counts_;
}

int JobWorkers::ToSay(int64_t step) const {
  if (worker_ != 0) return 0;
  MutexLock lock(&mutex_);
  return counts_.changes().empty() ? 0 : counts_.At(step + 1);
}

}  // namespace parley
