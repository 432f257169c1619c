#include "ps/server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/random_id.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/forwarding_parameter_server.h"
#include "net/grpc_channel.h"
#include "net/probe_address.h"
#include "ps/log_reader.h"
#include "ps/log_writer.h"
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

bool Server::IsSurplus() const { return succession_ != nullptr && succession_->IsSurplus(); }

void Server::Leave() {
  if (succession_ != nullptr) succession_->Leave();
}

bool Server::IsAlone() const { return succession_ == nullptr || succession_->IsAlone(); }

// The transports go first: they answer what they hold while the shards still live.
Server::~Server() {
  grpc_.reset();
  local_.reset();
  succession_.reset();
}

void Server::Stop(absl::Duration grace) {
  if (succession_ != nullptr) succession_->Close();
  if (grpc_ != nullptr) grpc_->Shutdown(grace);
}

std::vector<std::shared_ptr<Shard>> Server::Shards() const {
  return host_ != nullptr ? host_->shards() : std::vector<std::shared_ptr<Shard>>{shard_};
}

bool Server::WaitUntilDone(absl::Duration timeout) const {
  const absl::Time deadline = Env::Posix()->Now() + timeout;
  const std::vector<std::shared_ptr<Shard>> shards = Shards();
  if (shards.empty()) {
    absl::SleepFor(timeout);
    return succession_ != nullptr && succession_->IsOver();
  }
  return std::all_of(shards.begin(), shards.end(), [&](const std::shared_ptr<Shard>& shard) {
    return shard->WaitUntilDone(deadline - Env::Posix()->Now());
  });
}

absl::optional<ShardNumbers> Server::Numbers() const {
  for (const std::shared_ptr<Shard>& shard : Shards()) {
    if (auto numbers = shard->Numbers(); numbers.has_value()) return numbers;
  }
  return absl::nullopt;
}

JobView Server::View() const {
  JobView view;
  for (const std::shared_ptr<Shard>& shard : Shards()) {
    ShardView& said = view.shards.emplace_back();
    v1::GetStatusRequest request;
    request.set_with_spec(true);
    // Of a shard itself the answer comes at once.
    shard->GetStatus(std::move(request), [&](absl::StatusOr<v1::GetStatusResponse> answer) {
      said.status = answer.status();
      if (answer.ok()) said.answer = *std::move(answer);
      said.shard = said.answer.shard();
    });
  }
  view.at = Env::Posix()->Now();
  return view;
}

bool Server::HasWorkers() const {
  const std::vector<std::shared_ptr<Shard>> shards = Shards();
  return std::any_of(shards.begin(), shards.end(),
                     [](const std::shared_ptr<Shard>& shard) { return shard->HasWorkers(); });
}

bool Server::IsStopping() const {
  const std::vector<std::shared_ptr<Shard>> shards = Shards();
  return std::any_of(shards.begin(), shards.end(),
                     [](const std::shared_ptr<Shard>& shard) { return shard->IsStopping(); });
}

// With etcd a shard that fails is dropped, and the task goes on.
absl::Status Server::durability_status() const {
  return shard_ != nullptr ? shard_->durability_status() : absl::OkStatus();
}

void Server::ForgetJob() {
  if (succession_ != nullptr) succession_->SetDone();
  for (const std::shared_ptr<Shard>& shard : Shards()) shard->RemoveLog();
  // With etcd also those of shards that it led once.
  for (const std::string& folder : log_folders_) {
    const absl::Status removed = parley::RemoveLog(env_, folder);
    LOG_IF(WARNING, !removed.ok()) << folder << ": a log stays: " << removed.message();
  }
}

void Server::StartDraining() {
  if (grpc_ != nullptr) grpc_->SetReady(false);
  for (const std::shared_ptr<Shard>& shard : Shards()) shard->SetDraining();
}

void Server::Lead(const std::string& address) { lead_(this, address); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  const std::string task = absl::StrCat("ps:", options.shard.shard_index);
  const bool shares = options.shared_memory && !options.address.empty();
  if (shares) {
    options.shard.arena = SharedArena::Create();
    options.shard.local_socket = LocalServer::NewName();
  }
  const std::shared_ptr<SharedArena> arena = options.shard.arena;
  const std::string local_socket = options.shard.local_socket;
  if (options.channel == nullptr) {
    GrpcChannelOptions channel;
    channel.max_message_bytes = options.grpc.max_message_bytes;
    options.channel = [channel](const std::string& to, const std::string& address) {
      return NewGrpcChannel(to, address, channel);
    };
  }
  if (options.is_refused == nullptr) {
    options.is_refused = [](const std::string& address) {
      return IsRefused(address, absl::Milliseconds(200));
    };
  }
  std::shared_ptr<TransportCounts> local_counts;  // null: nobody counts
  Standby::Options standby;
  standby.task = task;
  standby.start = RandomId();
  standby.optimizers = options.shard.optimizers;
  standby.memory_limit = options.shard.memory_limit;
  standby.table_parts = static_cast<size_t>(Shard::ThreadCount(options.shard.threads));
  standby.spill_folder = options.shard.spill_folder;
  standby.env = options.shard.env;
  std::unique_ptr<Server> server(new Server());
  server->start_ = standby.start;
  server->metrics_ = options.shard.metrics;
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
  ParameterServer* service;
  ParameterServer* local_service;
  if (options.etcd != nullptr) {
    standby.arena = arena;
    Succession::Options succession;
    succession.etcd = options.etcd;
    succession.job = options.job;
    succession.self = {options.shard.shard_index, standby.start};
    succession.num_shards = options.num_shards;
    succession.num_tasks = options.num_tasks;
    succession.lease = options.leader_lease;
    succession.settling = options.settling;
    succession.patience = options.shard.standby_patience;
    succession.channel = options.channel;
    succession.is_refused = options.is_refused;
    server->env_ = options.shard.env;
    if (!options.shard.log_folder.empty()) {
      for (int i = 0; i < options.num_shards; ++i) {
        server->log_folders_.push_back(
            JoinPath(options.shard.log_folder, absl::StrCat("shard-", i)));
      }
      succession.log_term = [env = options.shard.env, folders = server->log_folders_](int index) {
        const absl::StatusOr<LogReader> log =
            LogReader::Open(env, folders[static_cast<size_t>(index)]);
        LOG_IF(ERROR, !log.ok() && !absl::IsNotFound(log.status())) << log.status().message();
        return log.ok() ? log->BeginOf(log->last_segment()).books().term() : 0;
      };
    }
    succession.new_shard = [shard = options.shard, folders = server->log_folders_](
                               int index, std::shared_ptr<CopyPlace> place) {
      ShardOptions made = shard;
      made.shard_index = index;
      if (!folders.empty()) made.log_folder = folders[static_cast<size_t>(index)];
      made.copy_place = std::move(place);
      return std::make_shared<Shard>(std::move(made));
    };
    server->standby_ = std::make_unique<Standby>(std::move(standby));
    server->host_ = std::make_unique<ShardHost>(options.shard.shard_index, server->standby_.get());
    server->lead_ = [succession](Server* self, const std::string& address) {
      Succession::Options begun = succession;
      begun.address = address;
      self->succession_ =
          std::make_unique<Succession>(std::move(begun), self->standby_.get(), self->host_.get());
    };
    service = local_service = server->host_.get();
  } else {
    const bool replicates = !options.standby_address.empty();
    if (replicates) {
      options.shard.standby = options.channel(options.standby_task, options.standby_address);
    }
    server->shard_ = std::make_shared<Shard>(std::move(options.shard));
    // Before anybody can ask: its errors name the task.
    PARLEY_ASSIGN_OR_RETURN(const bool recovered, server->shard_->Recover());
    service = local_service = server->shard_->for_transports();
    if (replicates) {
      server->standby_ = std::make_unique<Standby>(std::move(standby));
      server->service_ = std::make_unique<Service>(service, server->standby_.get());
      service = server->service_.get();
      if (!recovered) server->shard_->RecoverFromStandby();
    }
  }
  server->for_transports_ = service;
  if (shares) {
    absl::StatusOr<std::unique_ptr<LocalServer>> local =
        LocalServer::Start(local_socket, local_service, arena, local_counts);
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
