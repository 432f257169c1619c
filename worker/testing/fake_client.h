#ifndef PARLEY_WORKER_TESTING_FAKE_CLIENT_H_
#define PARLEY_WORKER_TESTING_FAKE_CLIENT_H_

#include <cstdint>
#include <future>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "net/job.h"
#include "worker/client.h"

namespace parley {

// A Client without shards, for the tests of what uses one. It writes down each call as a line,
//   "pull 0", "pull_averages 2", "rate_factor 0.5", "push_pull 3", "push 4", "skip 5", "checkpoint
//   2 keep 3", "barrier finish", "status", "leave OK"
// and answers at once; a pull of step s fills its targets with s, one of averages with -s. Thread
// safety: safe from any thread.
class FakeClient final : public Client {
 public:
  FakeClient(Job job, int worker, int64_t first_step);

  // From now on the call whose line is `call` fails with `status`.
  void Fail(const std::string& call, absl::Status status);
  // From now on the call whose line is `call` ends only with Leave, which makes it ABORTED.
  void Hold(const std::string& call);
  // The next checkpoint that is begun is not written before EndSave, which says how that ended.
  void HoldSave();
  void EndSave(absl::StatusOr<std::string> manifest);

  // From now on the others are at `step` when this worker has pulled for an earlier one.
  void GoOnAt(int64_t step);

  std::vector<std::string> calls() const;
  // Waits until the call was made, up to a minute; false when it was not.
  bool AwaitCall(const std::string& call);
  // The gradients of each push, those of a push one after another.
  std::vector<std::vector<float>> pushed() const;

  const Job& job() const override { return job_; }
  int worker() const override { return worker_; }
  int64_t first_step() const override { return first_step_; }
  int64_t NextStep(int64_t step) const override;
  std::future<absl::Status> PullAsync(int64_t step, std::vector<Target> targets) override;
  std::future<absl::Status> PullAveragesAsync(int64_t step, std::vector<Target> targets) override;
  std::future<absl::Status> PushAsync(int64_t step, std::vector<Gradient> gradients) override;
  std::future<absl::Status> PushPullAsync(int64_t step, std::vector<Gradient> gradients,
                                          std::vector<Target> targets) override;
  std::future<absl::Status> SkipAsync(int64_t step, std::vector<Target> targets) override;
  // UNIMPLEMENTED.
  std::future<Views> PullViewsAsync(int64_t step, std::vector<int> parameters) override;
  std::future<Views> PushPullViewsAsync(int64_t step, std::vector<Gradient> gradients,
                                        std::vector<int> parameters) override;
  std::future<absl::Status> PullRowsAsync(int table, int64_t step, absl::Span<const uint64_t> keys,
                                          absl::Span<float> rows) override;
  std::future<absl::Status> PushRowsAsync(int table, int64_t step, absl::Span<const uint64_t> keys,
                                          absl::Span<const float> gradients) override;
  // What the last SkipAsync or push made it.
  bool WasSkipped(int parameter) const override;
  absl::Status SetRateFactor(float factor) override;
  absl::Status Barrier(absl::string_view name, absl::Duration timeout) override;
  absl::StatusOr<SavedLater> SaveCheckpointAsync(int64_t step, const std::string& folder,
                                                 int keep) override;
  absl::StatusOr<JobStatus> Status() override;
  bool ShardsDrain() const override { return false; }
  bool ShardsStop() const override { return false; }
  // An operator asks for a checkpoint.
  void AskCheckpoint(uint64_t ticket);
  uint64_t CheckpointAsked() const override;
  // An operator asks for so many workers, and they are there.
  void AskWorkers(int workers);
  // From `from_step` on the job has `count` workers, says the chief.
  void ChangeWorkers(int64_t from_step, int count);
  WorkerCounts workers() const override;
  int WorkersAsked() const override;
  absl::Status SetWorkers(int64_t step, int count) override;
  void Report(const StepReport& report) override;
  void ReportCheckpoint(v1::CheckpointReport report) override;
  // What was reported last, and each checkpoint.
  StepReport last_report() const;
  std::vector<v1::CheckpointReport> checkpoint_reports() const;
  absl::Status Leave(const absl::Status& reason) override;
  std::shared_ptr<float> NewBuffer(size_t elements) override;
  int64_t bytes_pushed() const override { return 0; }
  int64_t bytes_pulled() const override { return 0; }
  Requests requests() const override { return {}; }
  RowCache::Counts row_cache() const override { return {}; }

 private:
  std::future<absl::Status> Call(const std::string& call);
  void Keep(const std::vector<Gradient>& gradients);
  static void FillWith(int64_t step, const std::vector<Target>& targets);

  const Job job_;
  const int worker_;
  const int64_t first_step_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  bool skipped_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t others_step_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::vector<float>> pushed_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> failures_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> holds_ ABSL_GUARDED_BY(mutex_);
  bool holds_save_ ABSL_GUARDED_BY(mutex_) = false;
  std::promise<absl::StatusOr<std::string>> held_save_ ABSL_GUARDED_BY(mutex_);
  WorkerCounts workers_ ABSL_GUARDED_BY(mutex_);
  int workers_asked_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  StepReport report_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::CheckpointReport> checkpoint_reports_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::promise<absl::Status>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_WORKER_TESTING_FAKE_CLIENT_H_
