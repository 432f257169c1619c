#include "ps/server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley {

Server::Server(ShardOptions options) : shard_(std::make_shared<Shard>(std::move(options))) {}

// The transport goes first: it answers what it holds while the shard still lives.
Server::~Server() { grpc_.reset(); }

void Server::Stop(absl::Duration grace) {
  if (grpc_ != nullptr) grpc_->Shutdown(grace);
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  const std::string task = absl::StrCat("ps:", options.shard.shard_index);
  std::unique_ptr<Server> server(new Server(std::move(options.shard)));
  if (!options.address.empty()) {
    absl::StatusOr<std::unique_ptr<GrpcServer>> grpc =
        GrpcServer::Start(options.address, server->shard_.get(), options.grpc);
    if (!grpc.ok()) return Annotate(grpc.status(), task);
    server->grpc_ = *std::move(grpc);
  }
  return server;
}

}  // namespace parley
