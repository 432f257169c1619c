#ifndef PARLEY_NET_CHANNEL_H_
#define PARLEY_NET_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/grpc_channel.h"
#include "net/parameter_server.h"
#include "net/resolving_channel.h"
#include "net/shared_arena.h"

namespace parley {

// How gradients and parameters travel. Everything else goes over gRPC.
enum class Transport {
  kAuto,          // shared memory to a task on this host, gRPC to others
  kGrpc,          // gRPC
  kSharedMemory,  // shared memory; a task on another host is an error of Join
};

// From a flag: auto, grpc, shm. INVALID_ARGUMENT names them.
absl::StatusOr<Transport> ParseTransport(absl::string_view name);

struct ChannelOptions {
  Transport transport = Transport::kAuto;
  GrpcChannelOptions grpc;
  // Where gradients may stand that a task on this host reads in place; one for all channels of a
  // worker (ClientOptions::arena). Null: the channel makes its own, and copies into it.
  std::shared_ptr<SharedArena> arena;
  // Where the task is once its connection is lost: see net/resolving_channel.h. Empty: where it
  // was.
  AddressResolver resolver;
};

// The ParameterServer that task `task` ("ps:1") offers on `address`, "host:port". See
// net/grpc_channel.h and net/local_channel.h for errors and threads.
std::unique_ptr<ParameterServer> NewChannel(const std::string& task, const std::string& address,
                                            ChannelOptions options = {});

}  // namespace parley

#endif  // PARLEY_NET_CHANNEL_H_
