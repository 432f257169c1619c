#ifndef PARLEY_PS_SERVER_H_
#define PARLEY_PS_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/metrics.h"
#include "net/etcd_client.h"
#include "net/grpc_server.h"
#include "net/job_view.h"
#include "net/local_server.h"
#include "net/parameter_server.h"
#include "net/transport_counts.h"
#include "ps/shard.h"
#include "ps/shard_host.h"
#include "ps/standby.h"
#include "ps/succession.h"

namespace parley {

struct ServerOptions {
  ShardOptions shard;
  // Where to listen, "host:port"; port 0 takes a free one. Empty: the server is reached from its
  // own process only.
  std::string address;
  GrpcServerOptions grpc;
  // Whether workers on this host may use shared memory.
  bool shared_memory = true;
  // Where the task listens that keeps a copy of this one's shard, "host:port"; this one keeps such
  // copies too. Empty: neither.
  std::string standby_address;
  std::string standby_task;  // "ps:1", for messages
  // Instead: the etcd where the job's ps tasks settle who speaks for which shard, and take over
  // from each other (ps/succession.h); Server::Lead begins it. Null: this task has its own shard
  // alone.
  std::shared_ptr<EtcdClient> etcd;
  std::string job;
  int num_shards = 0;
  int num_tasks = 0;  // that the job began with
  absl::Duration leader_lease = absl::Seconds(2);
  absl::Duration settling = absl::Seconds(1);  // as Succession::Options
  // The way to another ps task ("ps:1") at an address, and whether nobody listens there. Empty:
  // gRPC, and net/probe_address.h.
  std::function<std::shared_ptr<ParameterServer>(const std::string& task,
                                                 const std::string& address)>
      channel;
  std::function<bool(const std::string& address)> is_refused;
};

// A Server is one ps task as a value: a shard and, with an address, the way to it from other
// processes. It serves from Start until it is destroyed. Embedding one is: start it, give
// parameter_server() to the clients. Thread safety: safe from any thread.
class Server {
 public:
  // With a log folder it first goes on from what is there (Shard::Recover), and otherwise from the
  // copy of a standby. Errors name the task
  // and the address: ALREADY_EXISTS when it is taken, INVALID_ARGUMENT when it cannot be one.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options);

  // Stops listening, refuses what waits, and joins the shard's threads.
  ~Server();

  // With etcd: from now on this task may lead shards, and keep copies; `address` is where others
  // reach it. Until then calls are UNAVAILABLE.
  void Lead(const std::string& address);

  // For clients in this process, who must be gone before the server is. Null with etcd.
  std::shared_ptr<ParameterServer> parameter_server() const { return shard_; }
  // What a transport gives the calls to that come from other tasks.
  ParameterServer* for_transports() const { return for_transports_; }
  // Which start of the task this is; see TaskStart (net/shard_records.h).
  uint64_t start() const { return start_; }
  // The port it listens on; 0 without an address.
  int port() const { return grpc_ == nullptr ? 0 : grpc_->port(); }
  // True when nobody will come any more (ShardState::IsDone); waits for it up to `timeout`.
  // With etcd, for all shards that this task leads; where it leads none, for all of the job.
  bool WaitUntilDone(absl::Duration timeout) const;
  // Whether no other task needs the copies here any more. One that becomes a shard of this task is
  // among the shards before it is needed no more: ask this first, and WaitUntilDone then.
  bool IsStandbyDone() const;
  // With etcd: whether the job goes on without this task (Succession::IsSurplus).
  bool IsSurplus() const;
  // With etcd: other tasks get what is here (Succession::Leave), where there are any (IsAlone).
  void Leave();
  bool IsAlone() const;

  // Whether any worker is in the job: has joined and not left.
  bool HasWorkers() const;

  // What the shards that this task speaks for say of themselves, with their spec.
  JobView View() const;

  // Where the shard stands; nothing before a job is declared.
  absl::optional<ShardNumbers> Numbers() const;

  // Shard::durability_status.
  absl::Status durability_status() const;
  // The job is done: nothing is left of it, no logs and, when this has stopped, nothing in etcd.
  void ForgetJob();

  // Whether an operator asked one of its shards that the job ends for good.
  bool IsStopping() const;

  // Asks the workers to end the job: by their next heartbeat, and by health checks that say that
  // nothing should be sent here any more.
  void StartDraining();
  // Takes no new calls and lets those in progress end, for at most `grace`. With etcd other tasks
  // take over what this one leads, unless its job is done.
  void Stop(absl::Duration grace);

 private:
  class Service;

  Server() = default;
  // Those that this task speaks for.
  std::vector<std::shared_ptr<Shard>> Shards() const;

  std::shared_ptr<Metrics> metrics_;  // null: nobody wants to know
  std::function<void(Server* server, const std::string& address)> lead_;  // with etcd
  std::shared_ptr<Shard> shard_;                                          // null with etcd
  std::unique_ptr<Standby> standby_;  // null: it keeps no copies
  std::unique_ptr<ShardHost> host_;   // null without etcd, as the next
  std::unique_ptr<Succession> succession_;
  std::unique_ptr<Service> service_;
  ParameterServer* for_transports_ = nullptr;
  Env* env_ = nullptr;
  std::vector<std::string> log_folders_;  // with etcd, by shard; empty: no logs
  uint64_t start_ = 0;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<LocalServer> local_;
  std::unique_ptr<Metrics::Source> source_;  // of the transports
};

}  // namespace parley

#endif  // PARLEY_PS_SERVER_H_
