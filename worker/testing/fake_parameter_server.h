#ifndef PARLEY_WORKER_TESTING_FAKE_PARAMETER_SERVER_H_
#define PARLEY_WORKER_TESTING_FAKE_PARAMETER_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "net/job.h"
#include "net/parameter_server.h"
#include "worker/timer.h"

namespace parley {

// A shard for the tests of worker/, with a script for what goes wrong on the way. It holds the
// blocks of one shard of a job; a push replaces a block's values by the gradient, once for each
// sequence number, and a pull sends them back at once, whatever the step. Answers come on a thread
// of its own, out of order. Thread safety: safe from any thread.
class FakeParameterServer final : public ParameterServer {
 public:
  // What happens to one PushPull.
  enum class Fate {
    kAnswer,
    kLoseRequest,    // UNAVAILABLE; the shard never saw it
    kLoseAnswer,     // UNAVAILABLE; the shard took it
    kTransportLate,  // DEADLINE_EXCEEDED by the transport, before its time; the shard took it
    kRefuse,         // INVALID_ARGUMENT
    kHold,           // the answer stays here until Release
    kNever,          // no answer, ever; the payload is let go
    kNeverKeep,      // and the payload is kept until ForgetKept
    kWrongBytes,     // malformed answers:
    kWrongCounts,
  };
  using Script = std::function<Fate(const v1::PushPullRequest& request)>;

  FakeParameterServer(const Job* job, int shard);  // the job must outlive it
  ~FakeParameterServer() override;

  // Decides on every PushPull from now on.
  void SetScript(Script script);
  // The next `times` calls of a method ("Join") fail with `status`.
  void FailNext(const std::string& method, int times, absl::Status status);
  void set_first_step(int64_t step);
  void set_heartbeat(absl::Duration interval);
  void set_checkpoint(v1::CheckpointResponse checkpoint);
  // Answers on the caller's thread, inside the call.
  void AnswerInline();
  // Gives the held answers, the last one first.
  void Release();
  void ForgetKept();

  // Wait for a count, up to a minute; false when it did not come.
  bool AwaitPushPulls(size_t count);
  bool AwaitHeartbeats(size_t count);

  std::vector<v1::PushPullRequest> push_pulls() const;
  std::vector<v1::LeaveRequest> leaves() const;
  int CallsOf(const std::string& method) const;
  int64_t taken() const;       // gradients of blocks, without repetitions
  int max_unanswered() const;  // PushPulls at a time
  std::vector<float> values(uint32_t block) const;

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override;
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override;
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override;
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override;
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override;
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override;
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override;
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override;
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override;
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override;
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override;

 private:
  struct Block {
    std::shared_ptr<const std::vector<float>> values;
    int64_t version = 0;
  };

  // Counts a call of `method`, and gives `answer` or what FailNext says.
  template <typename Response>
  void Answer(const std::string& method, Response answer, Done<Response> done);
  void Post(absl::AnyInvocable<void()> answer);
  PushPullReply Take(const v1::PushPullRequest& request, const Payload& payload)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Job* const job_;
  const int shard_;

  mutable Mutex mutex_;
  CondVar changed_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<absl::Status>> failures_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mutex_);
  int64_t first_step_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t heartbeat_ms_ ABSL_GUARDED_BY(mutex_) = 1000;
  v1::CheckpointResponse checkpoint_ ABSL_GUARDED_BY(mutex_);
  bool inline_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint32_t, Block> blocks_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> sequences_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::PushPullRequest> push_pulls_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::LeaveRequest> leaves_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void()>> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<Done<PushPullReply>> never_ ABSL_GUARDED_BY(mutex_);
  std::vector<Payload> kept_ ABSL_GUARDED_BY(mutex_);
  int64_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  int unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  int max_unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t posted_ ABSL_GUARDED_BY(mutex_) = 0;

  Timer thread_;
};

}  // namespace parley

#endif  // PARLEY_WORKER_TESTING_FAKE_PARAMETER_SERVER_H_
