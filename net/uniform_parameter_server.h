#ifndef PARLEY_NET_UNIFORM_PARAMETER_SERVER_H_
#define PARLEY_NET_UNIFORM_PARAMETER_SERVER_H_

#include <utility>

#include "net/parameter_server.h"

namespace parley {

// For a ParameterServer that does the same with every call: those that have no payload beside them
// go to
//
//   template <typename Request, typename Response>
//   void Derived::Call(void (ParameterServer::*method)(Request, Done<Response>), Request request,
//                      Done<Response> done);
//
// where `method` is the one that was called. PushPull, Replicate and FetchReplica are left to
// Derived, which is to make this its friend. Thread safety: Derived's.
template <typename Derived>
class UniformParameterServer : public ParameterServer {
 public:
  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override {
    self().Call(&ParameterServer::Declare, std::move(request), std::move(done));
  }
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    self().Call(&ParameterServer::Join, std::move(request), std::move(done));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    self().Call(&ParameterServer::Heartbeat, std::move(request), std::move(done));
  }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    self().Call(&ParameterServer::Leave, std::move(request), std::move(done));
  }
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override {
    self().Call(&ParameterServer::Barrier, std::move(request), std::move(done));
  }
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override {
    self().Call(&ParameterServer::Checkpoint, std::move(request), std::move(done));
  }
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override {
    self().Call(&ParameterServer::DescribeBlocks, std::move(request), std::move(done));
  }
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    self().Call(&ParameterServer::GetNormSums, std::move(request), std::move(done));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    self().Call(&ParameterServer::SetNormTotals, std::move(request), std::move(done));
  }
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override {
    self().Call(&ParameterServer::GetStatus, std::move(request), std::move(done));
  }
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override {
    self().Call(&ParameterServer::Ask, std::move(request), std::move(done));
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
};

}  // namespace parley

#endif  // PARLEY_NET_UNIFORM_PARAMETER_SERVER_H_
