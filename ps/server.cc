#include "ps/server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/forwarding_parameter_server.h"
#include "net/grpc_channel.h"
#include "ps/transport_metrics.h"

namespace parley {

// The shard's calls to the shard, those of other tasks' shards to the standby.
class Server::Service final : public ForwardingParameterServer {
 public:
  Service(ParameterServer* shard, Standby* standby)
      : ForwardingParameterServer(shard), standby_(standby) {}

  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    standby_->Replicate(std::move(request), std::move(payload), std::move(done));
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    standby_->FetchReplica(std::move(request), std::move(done));
  }

 private:
  Standby* const standby_;
};

bool Server::IsStandbyDone() const {
  constexpr absl::Duration kSilence = absl::Seconds(10);
  return standby_ == nullptr || standby_->IsDone(kSilence);
}

Server::Server(ShardOptions options)
    : metrics_(options.metrics), shard_(std::make_shared<Shard>(std::move(options))) {}

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
  std::shared_ptr<TransportCounts> local_counts;  // null: nobody counts
  Standby::Options standby;
  standby.task = task;
  standby.optimizers = options.shard.optimizers;
  standby.env = options.shard.env;
  const bool replicates = !options.standby_address.empty();
  if (replicates) {
    GrpcChannelOptions channel;
    channel.max_message_bytes = options.grpc.max_message_bytes;
    options.shard.standby = NewGrpcChannel(options.standby_task, options.standby_address, channel);
  }
  std::unique_ptr<Server> server(new Server(std::move(options.shard)));
  if (server->metrics_ != nullptr && !options.address.empty()) {
    const auto grpc = std::make_shared<TransportCounts>();
    const auto shm = std::make_shared<TransportCounts>();
    options.grpc.counts = grpc;
    if (shares) local_counts = shm;
    server->source_ = server->metrics_->AddSource([grpc, shm](MetricSamples* samples) {
      AddTransport("grpc", *grpc, samples);
      AddTransport("shm", *shm, samples);
    });
  }
  // Before anybody can ask: its errors name the task.
  PARLEY_ASSIGN_OR_RETURN(const bool recovered, server->shard_->Recover());
  ParameterServer* service = server->shard_->for_transports();
  if (replicates) {
    server->standby_ = std::make_unique<Standby>(std::move(standby));
    server->service_ = std::make_unique<Service>(service, server->standby_.get());
    service = server->service_.get();
    if (!recovered) server->shard_->RecoverFromStandby();
  }
  if (shares) {
    absl::StatusOr<std::unique_ptr<LocalServer>> local =
        LocalServer::Start(local_socket, server->shard_->for_transports(), arena, local_counts);
    if (!local.ok()) return Annotate(local.status(), task);
    server->local_ = *std::move(local);
  }
  if (!options.address.empty()) {
    absl::StatusOr<std::unique_ptr<GrpcServer>> grpc =
        GrpcServer::Start(options.address, service, options.grpc);
    if (!grpc.ok()) return Annotate(grpc.status(), task);
    server->grpc_ = *std::move(grpc);
  }
  return server;
}

}  // namespace parley
