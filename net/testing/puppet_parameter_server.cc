#include "net/testing/puppet_parameter_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace parley {
namespace {

std::string Describe(const char* method, const google::protobuf::Message& request) {
  return absl::StrCat(method, " {", request.ShortDebugString(), "}");
}

}  // namespace

void PuppetParameterServer::SetAnswers(PuppetAnswers answers) {
  MutexLock lock(&mutex_);
  answers_ = std::move(answers);
}

void PuppetParameterServer::FailWith(absl::Status status) {
  MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

void PuppetParameterServer::Hold() {
  MutexLock lock(&mutex_);
  holding_ = true;
}

void PuppetParameterServer::Release() {
  std::vector<absl::AnyInvocable<void()>> held;
  {
    MutexLock lock(&mutex_);
    holding_ = false;
    held.swap(held_);
  }
  for (auto it = held.rbegin(); it != held.rend(); ++it) (*it)();
}

bool PuppetParameterServer::AwaitCalls(int count) {
  const absl::Time end = absl::Now() + absl::Minutes(1);
  MutexLock lock(&mutex_);
  while (static_cast<int>(calls_.size()) < count) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    changed_.WaitFor(&mutex_, left);
  }
  return true;
}

std::vector<std::string> PuppetParameterServer::calls() {
  MutexLock lock(&mutex_);
  return calls_;
}

PuppetAnswers PuppetParameterServer::answers() {
  MutexLock lock(&mutex_);
  return answers_;
}

template <typename Response>
void PuppetParameterServer::Take(std::string call, Response response, Done<Response> done) {
  absl::StatusOr<Response> answer = std::move(response);
  {
    MutexLock lock(&mutex_);
    calls_.push_back(std::move(call));
    changed_.NotifyAll();
    if (!failure_.ok()) answer = failure_;
    if (holding_) {
      held_.push_back([answer = std::move(answer), done = std::move(done)]() mutable {
        done(std::move(answer));
      });
      return;
    }
  }
  done(std::move(answer));
}

void PuppetParameterServer::Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) {
  Take(Describe("Declare", request), answers().declare, std::move(done));
}

void PuppetParameterServer::Join(v1::JoinRequest request, Done<v1::JoinResponse> done) {
  Take(Describe("Join", request), answers().join, std::move(done));
}

void PuppetParameterServer::Heartbeat(v1::HeartbeatRequest request,
                                      Done<v1::HeartbeatResponse> done) {
  Take(Describe("Heartbeat", request), answers().heartbeat, std::move(done));
}

void PuppetParameterServer::PushPull(v1::PushPullRequest request, Payload payload,
                                     Done<PushPullReply> done) {
  Take(Describe("PushPull", request), PushPullReply{answers().push_pull, std::move(payload)},
       std::move(done));
}

void PuppetParameterServer::Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) {
  Take(Describe("Leave", request), answers().leave, std::move(done));
}

void PuppetParameterServer::Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) {
  Take(Describe("Barrier", request), answers().barrier, std::move(done));
}

void PuppetParameterServer::Checkpoint(v1::CheckpointRequest request,
                                       Done<v1::CheckpointResponse> done) {
  Take(Describe("Checkpoint", request), answers().checkpoint, std::move(done));
}

void PuppetParameterServer::DescribeBlocks(v1::DescribeBlocksRequest request,
                                           Done<v1::DescribeBlocksResponse> done) {
  Take(Describe("DescribeBlocks", request), answers().describe_blocks, std::move(done));
}

void PuppetParameterServer::GetNormSums(v1::GetNormSumsRequest request,
                                        Done<v1::GetNormSumsResponse> done) {
  Take(Describe("GetNormSums", request), answers().get_norm_sums, std::move(done));
}

void PuppetParameterServer::SetNormTotals(v1::SetNormTotalsRequest request,
                                          Done<v1::SetNormTotalsResponse> done) {
  Take(Describe("SetNormTotals", request), answers().set_norm_totals, std::move(done));
}

void PuppetParameterServer::GetStatus(v1::GetStatusRequest request,
                                      Done<v1::GetStatusResponse> done) {
  Take(Describe("GetStatus", request), answers().get_status, std::move(done));
}

void PuppetParameterServer::Ask(v1::AskRequest request, Done<v1::AskResponse> done) {
  Take(Describe("Ask", request), answers().ask, std::move(done));
}

}  // namespace parley
