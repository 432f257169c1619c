#ifndef PARLEY_NET_FORWARDING_PARAMETER_SERVER_H_
#define PARLEY_NET_FORWARDING_PARAMETER_SERVER_H_

#include <utility>

#include "net/parameter_server.h"

namespace parley {

// Gives every call to another ParameterServer, which must outlive it; for those that change some.
// Thread safety: as the other's.
class ForwardingParameterServer : public ParameterServer {
 public:
  explicit ForwardingParameterServer(ParameterServer* target) : target_(target) {}

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override {
    target_->Declare(std::move(request), std::move(done));
  }
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    target_->Join(std::move(request), std::move(done));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    target_->Heartbeat(std::move(request), std::move(done));
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    target_->PushPull(std::move(request), std::move(payload), std::move(done));
  }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    target_->Leave(std::move(request), std::move(done));
  }
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override {
    target_->Barrier(std::move(request), std::move(done));
  }
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override {
    target_->Checkpoint(std::move(request), std::move(done));
  }
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override {
    target_->DescribeBlocks(std::move(request), std::move(done));
  }
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    target_->GetNormSums(std::move(request), std::move(done));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    target_->SetNormTotals(std::move(request), std::move(done));
  }
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override {
    target_->GetStatus(std::move(request), std::move(done));
  }
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override {
    target_->Ask(std::move(request), std::move(done));
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    target_->Replicate(std::move(request), std::move(payload), std::move(done));
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    target_->FetchReplica(std::move(request), std::move(done));
  }

 private:
  ParameterServer* const target_;
};

}  // namespace parley

#endif  // PARLEY_NET_FORWARDING_PARAMETER_SERVER_H_
