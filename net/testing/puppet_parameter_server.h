#ifndef PARLEY_NET_TESTING_PUPPET_PARAMETER_SERVER_H_
#define PARLEY_NET_TESTING_PUPPET_PARAMETER_SERVER_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "net/parameter_server.h"

namespace parley {

// What a PuppetParameterServer answers; a PushPull's payload is the request's, sent back.
struct PuppetAnswers {
  v1::DeclareResponse declare;
  v1::JoinResponse join;
  v1::HeartbeatResponse heartbeat;
  v1::PushPullResponse push_pull;
  v1::LeaveResponse leave;
  v1::BarrierResponse barrier;
  v1::CheckpointResponse checkpoint;
  v1::DescribeBlocksResponse describe_blocks;
  v1::GetStatusResponse get_status;
  v1::AskResponse ask;
  v1::GetNormSumsResponse get_norm_sums;
  v1::SetNormTotalsResponse set_norm_totals;
};

// A ParameterServer that does what a test says. It answers at once unless it holds.
// Thread safety: safe from any thread. Answers still held when it is destroyed are never given.
class PuppetParameterServer : public ParameterServer {
 public:
  PuppetParameterServer() = default;

  void SetAnswers(PuppetAnswers answers);
  // From now on every call is answered by this; OK ends that.
  void FailWith(absl::Status status);
  // Keeps answers back until Release, which gives them, the last one first.
  void Hold();
  void Release();
  // Waits until `count` calls have come in all; false after a minute.
  bool AwaitCalls(int count);
  // Each call as "Method {request}", in the order they came.
  std::vector<std::string> calls();

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
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override;

 private:
  template <typename Response>
  void Take(std::string call, Response response, Done<Response> done);
  PuppetAnswers answers();

  Mutex mutex_;
  CondVar changed_;
  PuppetAnswers answers_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::AnyInvocable<void()>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_PUPPET_PARAMETER_SERVER_H_
