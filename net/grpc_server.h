#ifndef PARLEY_NET_GRPC_SERVER_H_
#define PARLEY_NET_GRPC_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/parameter_server.h"
#include "net/transport_counts.h"

namespace parley {

struct GrpcServerOptions {
  // The longest message, either way; a longer one is RESOURCE_EXHAUSTED. Holds a request's
  // gradients, so raise it with very large blocks; memory for one such message per waiting call
  // must be there.
  int max_message_bytes = 64 << 20;
  // Counts what comes and goes. Null: nobody does.
  std::shared_ptr<TransportCounts> counts = nullptr;
};

// A GrpcServer offers a ParameterServer on a TCP port, as the gRPC service of
// proto/parameter_server.proto. A request that cannot be parsed is INVALID_ARGUMENT, an unknown
// method UNIMPLEMENTED; neither reaches the ParameterServer. It answers gRPC's health checks too
// (net/health.proto): "" and "liveness" are SERVING as long as it answers at all, "readiness" and
// "parley.v1.ParameterServer" as SetReady says, and others NOT_FOUND. An answer to a client that
// has gone, or after Shutdown, is dropped. Thread safety: safe from any thread. Does not own the
// ParameterServer, which must live until Shutdown() or the destructor has returned.
class GrpcServer {
 public:
  // Listens on `address`, "host:port"; port 0 takes a free one. INVALID_ARGUMENT when the address
  // is illegal, ALREADY_EXISTS when it is in use, otherwise what the system says; the message names
  // the address.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const std::string& address,
                                                           ParameterServer* server,
                                                           GrpcServerOptions options = {});
  // Shutdown(absl::ZeroDuration()).
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  int port() const { return port_; }

  // Whether health checks shall send work here; true at first. Calls are served all the same.
  void SetReady(bool ready);

  // Takes no new calls, lets those in progress end for `grace`, then cancels them. Nobody calls the
  // ParameterServer after it has returned. The second call returns when the first is done and does
  // nothing else.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  GrpcServer(std::unique_ptr<Impl> impl, int port);

  const std::unique_ptr<Impl> impl_;
  const int port_;
};

}  // namespace parley

#endif  // PARLEY_NET_GRPC_SERVER_H_
