#include "net/channel.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "net/local_channel.h"

namespace parley {

absl::StatusOr<Transport> ParseTransport(absl::string_view name) {
  if (name == "auto") return Transport::kAuto;
  if (name == "grpc") return Transport::kGrpc;
  if (name == "shm") return Transport::kSharedMemory;
  return absl::InvalidArgumentError(
      absl::StrCat("transport ", name, " is none of auto, grpc, shm"));
}

namespace {

std::unique_ptr<ParameterServer> NewFixedChannel(const std::string& task,
                                                 const std::string& address,
                                                 const ChannelOptions& options) {
  std::unique_ptr<ParameterServer> grpc = NewGrpcChannel(task, address, options.grpc);
  if (options.transport == Transport::kGrpc) return grpc;
  LocalChannelOptions local;
  local.required = options.transport == Transport::kSharedMemory;
  local.grace = options.grpc.grace;
  return NewLocalChannel(task, std::move(grpc), options.arena, local);
}

}  // namespace

std::unique_ptr<ParameterServer> NewChannel(const std::string& task, const std::string& address,
                                            ChannelOptions options) {
  if (options.transport != Transport::kGrpc && options.arena == nullptr) {
    options.arena = SharedArena::Create();
  }
  if (!options.resolver) return NewFixedChannel(task, address, options);
  AddressResolver resolver = std::move(options.resolver);
  options.resolver = nullptr;
  return NewResolvingChannel(
      task, address, std::move(resolver),
      [task, options](const std::string& where) { return NewFixedChannel(task, where, options); });
}

}  // namespace parley
