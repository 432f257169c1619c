#ifndef PARLEY_NET_FORWARDING_PARAMETER_SERVER_H_
#define PARLEY_NET_FORWARDING_PARAMETER_SERVER_H_

#include <utility>

#include "net/uniform_parameter_server.h"

namespace parley {

// Gives every call to another ParameterServer, which must outlive it; for those that change some.
// Thread safety: as the other's.
class ForwardingParameterServer : public UniformParameterServer<ForwardingParameterServer> {
 public:
  explicit ForwardingParameterServer(ParameterServer* target) : target_(target) {}

  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    target_->PushPull(std::move(request), std::move(payload), std::move(done));
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    target_->Replicate(std::move(request), std::move(payload), std::move(done));
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    target_->FetchReplica(std::move(request), std::move(done));
  }

 private:
  friend class UniformParameterServer<ForwardingParameterServer>;

  template <typename Request, typename Response>
  void Call(void (ParameterServer::*method)(Request, Done<Response>), Request request,
            Done<Response> done) {
    (target_->*method)(std::move(request), std::move(done));
  }

  ParameterServer* const target_;
};

}  // namespace parley

#endif  // PARLEY_NET_FORWARDING_PARAMETER_SERVER_H_
