#ifndef PARLEY_NET_GRPC_CHANNEL_H_
#define PARLEY_NET_GRPC_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "net/parameter_server.h"

namespace parley {

struct GrpcChannelOptions {
  // Connections for PushPull, used in turn: gRPC writes all calls of one connection one after
  // another. Requests that only push have the first half of them, those that only pull the others,
  // so that these do not wait behind gradients; the rest all. All other methods have one more
  // connection to themselves. >= 1.
  int data_connections = 2;
  // The longest message, either way; as in GrpcServerOptions.
  int max_message_bytes = 64 << 20;
  // How much longer than its wait_ms a call may take, and how long a call without wait_ms.
  absl::Duration grace = absl::Seconds(5);
  // A host that answers no ping for `keepalive_timeout`, sent every `keepalive_time` while calls
  // wait, is lost.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(10);
};

// The ParameterServer that a task offers on `address`, "host:port", by gRPC (grpc_server.h). `task`
// ("ps:1") is for the messages of errors. Connects when it is first used, and again when a
// connection was lost.
//
// Errors that the task itself answered come unchanged. Those of the way there begin "<task> at
// <address>: ":
//   UNAVAILABLE         not reached, or lost before it answered; whether it did what was asked is
//   not known DEADLINE_EXCEEDED   reached, but silent for wait_ms and the grace RESOURCE_EXHAUSTED
//   the request or the answer is over max_message_bytes CANCELLED           the channel was
//   destroyed first
// A call fails at once when nobody listens. Calls are not repeated here. A request's payload is
// held until gRPC has dropped it, which may be after `done` ran. Thread safety: safe from any
// thread. The destructor cancels the calls that wait and returns after their `done` ran; so it must
// not run inside a `done`.
std::unique_ptr<ParameterServer> NewGrpcChannel(const std::string& task, const std::string& address,
                                                GrpcChannelOptions options = {});

}  // namespace parley

#endif  // PARLEY_NET_GRPC_CHANNEL_H_
