#ifndef PARLEY_PS_SERVING_TASK_H_
#define PARLEY_PS_SERVING_TASK_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "net/parameter_server.h"
#include "ps/optimizer_registry.h"
#include "ps/served_version.h"
#include "ps/task_pool.h"

namespace parley {

// A ServingTask answers pulls from the newest checkpoint of a folder, and follows as new ones come:
// a read-only replica of a job, whatever the number of its shards. It has two versions in memory,
// the one that it serves and the one before, and goes from one to the next at once, with all that
// belongs to it; while one is being loaded, and when it cannot be, the one before is served.
//
// Each request is answered from one version: the served one, or, where PullRequest.pull_step is
// not 0, that of this step, and an error when it is gone. So who reads with several requests, and
// wants them to agree, names the step, which Join and GetStatus tell.
//
// RollBack serves the version before, and stays with it until Follow.
//
// Anybody may join; nobody may push. Thread safety: safe from any thread.
// Threads: one follows, and some answer.
class ServingTask final : public ParameterServer {
 public:
  struct Options {
    std::string task = "serve";  // for messages
    std::string checkpoint_folder;
    absl::Duration poll = absl::Seconds(1);  // how often to look for a new one
    int threads = 0;                         // that answer; 0: one for each core, at most 4
    OptimizerRegistry optimizers;
    Env* env = Env::Posix();
    std::shared_ptr<Metrics> metrics;  // null: nobody wants to know
  };

  explicit ServingTask(Options options);
  // Answers what has come.
  ~ServingTask() override;

  // Looks for a newer checkpoint, as it also does by itself; returns when that is loaded. What
  // hinders it, if anything does: NOT_FOUND without a checkpoint.
  absl::Status Refresh();

  // Step of the version that is served now; FAILED_PRECONDITION when there is none before it.
  absl::StatusOr<int64_t> RollBack();
  absl::StatusOr<int64_t> Follow();

  struct Numbers {
    int64_t step = -1;      // that is served; -1: none
    int64_t previous = -1;  // that it can be rolled back to; -1: none
    int64_t newest = -1;    // of a checkpoint in the folder
    int64_t versions_behind = 0;
    absl::Duration lag;  // since when there is a newer one
    bool held = false;   // rolled back
    std::string error;   // why the newest is not served, if it was tried
  };
  Numbers numbers() const;

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override;
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override;
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override;
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override;
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override;
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override;
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override;
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override;
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override;
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override;
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override;
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override;

 private:
  using Version = std::shared_ptr<const ServedVersion>;

  void Run();
  // That of `step` of job `job`, which may be empty; 0: the served one. Errors name the task.
  absl::StatusOr<Version> Find(const std::string& job, int64_t step) const;
  absl::Status CheckSpec(const v1::JobSpec& spec) const;
  absl::StatusOr<PushPullReply> Answer(const v1::PushPullRequest& request) const;
  absl::Status ReadOnly(absl::string_view what) const;
  absl::Status Load(const std::vector<std::string>& manifests);
  void Note(const std::vector<std::string>& manifests, const absl::Status& status);

  const Options options_;
  Mutex loading_;  // one looks at a time; before mutex_
  mutable Mutex mutex_;
  CondVar changed_;
  Version served_ ABSL_GUARDED_BY(mutex_);
  Version previous_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t newest_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t behind_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time behind_since_ ABSL_GUARDED_BY(mutex_);
  std::string error_ ABSL_GUARDED_BY(mutex_);
  mutable std::atomic<int64_t> rows_pulled_{0};
  mutable std::atomic<int64_t> bytes_pulled_{0};
  std::atomic<int64_t> loads_{0};
  std::atomic<int64_t> failed_loads_{0};
  std::unique_ptr<TaskPool> pool_;
  TaskQueue control_;  // a thread more is there for it
  std::vector<std::unique_ptr<TaskQueue>> queues_;
  std::atomic<size_t> next_queue_{0};
  std::unique_ptr<Metrics::Source> source_;
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_PS_SERVING_TASK_H_
