#ifndef PARLEY_NET_PARAMETER_SERVER_H_
#define PARLEY_NET_PARAMETER_SERVER_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "net/attendance.h"
#include "net/payload.h"
#include "proto/parameter_server.pb.h"

namespace parley {

// The service of proto/parameter_server.proto as a C++ interface. A shard implements it
// (ps/server.h); a transport's client end implements it by sending the request to another process.
// So a worker cannot tell a shard in its own process from one across the network: calling the shard
// itself is the in-process transport.
//
// Every call is asynchronous: `done` runs exactly once, perhaps before the call returns, perhaps
// later on a thread of the callee, and must not block. An answer comes within the request's wait_ms
// (and, over a network, a grace): nothing waits for ever. Errors are those the .proto lists; a
// transport adds UNAVAILABLE (not reached, or lost) and DEADLINE_EXCEEDED.
//
// Thread safety: safe from any thread.
class ParameterServer {
 public:
  template <typename Response>
  using Done = absl::AnyInvocable<void(absl::StatusOr<Response>)>;

  // A PushPullResponse whose `payload` field travels apart, uncopied. The same holds for the
  // request.
  struct PushPullReply {
    v1::PushPullResponse response;
    Payload payload;
  };

  // Likewise.
  struct FetchReplicaReply {
    v1::FetchReplicaResponse response;
    Payload payload;
  };

  virtual ~ParameterServer() = default;

  virtual void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) = 0;
  virtual void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) = 0;
  virtual void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) = 0;
  virtual void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) = 0;
  virtual void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) = 0;
  virtual void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) = 0;
  virtual void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) = 0;
  virtual void DescribeBlocks(v1::DescribeBlocksRequest request,
                              Done<v1::DescribeBlocksResponse> done) = 0;
  virtual void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) = 0;
  virtual void SetNormTotals(v1::SetNormTotalsRequest request,
                             Done<v1::SetNormTotalsResponse> done) = 0;
  virtual void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) = 0;

  // One that nobody can ask for anything does not.
  virtual void Ask(v1::AskRequest, Done<v1::AskResponse> done) {
    done(absl::UnimplementedError("this task cannot be asked"));
  }

  // What was asked here, and is not answered, is asked elsewhere: the shard is there now, and what
  // this one makes of it does not matter. So memory that was lent with requests need not be kept
  // for it when the channel is destroyed.
  virtual void Abandon() {}

  // For a thread that will only wait for the answers to what it sends from now on. Null where such
  // a thread is of no use: what answers has its own threads, or somebody else attends.
  virtual std::unique_ptr<Attendance> Attend() { return nullptr; }

  // Between ps tasks; one that keeps no copies of others has neither.
  virtual void Replicate(v1::ReplicateRequest, Payload, Done<v1::ReplicateResponse> done) {
    done(absl::UnimplementedError("this task keeps no replicas"));
  }
  virtual void FetchReplica(v1::FetchReplicaRequest, Done<FetchReplicaReply> done) {
    done(absl::UnimplementedError("this task keeps no replicas"));
  }
};

}  // namespace parley

#endif  // PARLEY_NET_PARAMETER_SERVER_H_
