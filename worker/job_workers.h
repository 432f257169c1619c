#ifndef PARLEY_WORKER_JOB_WORKERS_H_
#define PARLEY_WORKER_JOB_WORKERS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "base/mutex.h"
#include "google/protobuf/repeated_field.h"
#include "net/worker_counts.h"
#include "proto/job.pb.h"

namespace parley {

// How many workers a client's job has at which step, as its shards' answers say; and, of the chief,
// as its pushes say it to the shards. One for all sessions of a client. Thread safety: safe from
// any thread.
class JobWorkers {
 public:
  // Of a job that begins with `first` workers, at least 1.
  JobWorkers(int worker, int first) : worker_(worker), counts_(first) {}

  // Shards say what they know with each answer, all of it. INTERNAL where it makes no sense.
  absl::Status Learn(const google::protobuf::RepeatedPtrField<v1::WorkerCount>& said);
  // The number that the job was declared with is `first`; before any Learn.
  void SetFirst(int first);
  // The chief's: the job has `count` workers from `from_step` on; as WorkerCounts::Add.
  absl::Status Set(int64_t from_step, int count);

  WorkerCounts counts() const;
  // What a push of `step` is to say (PushPullRequest.workers).
  int ToSay(int64_t step) const;

 private:
  const int worker_;
  mutable Mutex mutex_;
  WorkerCounts counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_WORKER_JOB_WORKERS_H_
