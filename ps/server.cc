#include "ps/server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley {

Server::Server(ShardOptions options) : shard_(std::make_shared<Shard>(std::move(options))) {}

// The transports go first: they answer what they hold while the shard still lives.
Server::~Server() {
  grpc_.reset();
  local_.reset();
}

void Server::Stop(absl::Duration grace) {
  if (grpc_ != nullptr) grpc_->Shutdown(grace);
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  const std::string task = absl::StrCat("ps:", options.shard.shard_index);
  const bool shares = options.shared_memory && !options.address.empty();
  if (shares) {
    options.shard.arena = SharedArena::Create();
    options.shard.local_socket = LocalServer::NewName();
  }
  const std::shared_ptr<SharedArena> arena = options.shard.arena;
  const std::string local_socket = options.shard.local_socket;
  std::unique_ptr<Server> server(new Server(std::move(options.shard)));
  // Before anybody can ask: its errors name the task.
  PARLEY_RETURN_IF_ERROR(server->shard_->Recover().status());
  if (shares) {
    absl::StatusOr<std::unique_ptr<LocalServer>> local =
        LocalServer::Start(local_socket, server->shard_->for_transports(), arena);
    if (!local.ok()) return Annotate(local.status(), task);
    server->local_ = *std::move(local);
  }
  if (!options.address.empty()) {
    absl::StatusOr<std::unique_ptr<GrpcServer>> grpc =
        GrpcServer::Start(options.address, server->shard_->for_transports(), options.grpc);
    if (!grpc.ok()) return Annotate(grpc.status(), task);
    server->grpc_ = *std::move(grpc);
  }
  return server;
}

}  // namespace parley
