#include "net/cluster_flags.h"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/status.h"
#include "gflags/gflags.h"
#include "net/discovery.h"

DEFINE_string(ps_hosts, "",
              "The ps tasks of the job, host:port,host:port,... by index. In a ps task, port 0 for "
              "itself takes a free one.");
DEFINE_string(worker_hosts, "",
              "The worker tasks, likewise; worker 0 is the chief. Workers do not listen: only the "
              "number counts.");
DEFINE_int32(task_index, -1,
             "Which of the tasks of its type this one is. What the flags do not say of the cluster "
             "is taken from TF_CONFIG, mpirun or srun in the environment.");
DEFINE_int32(ps, 0,
             "How many ps tasks the job has, instead of --ps_hosts. Under mpirun and srun, the "
             "first tasks are the ps tasks.");
DEFINE_int32(workers, 0, "How many worker tasks, instead of --worker_hosts.");
DEFINE_int32(
    shards, 0,
    "With --etcd: how many shards the job has, the same for all tasks. As many as ps tasks "
    "unless told; with more, and --replicas=1, ps tasks can be added (`parley scale`).");
DEFINE_int32(port, 2222,
             "Where mpirun or srun says on which hosts the ps tasks are, task i of them listens on "
             "this port + i.");
DEFINE_string(
    etcd, "",
    "Endpoints of an etcd cluster, host:port,host:port,... Each ps task says there where it "
    "listens, and the workers look there, instead of --ps_hosts.");
DEFINE_string(job, "parley",
              "The job's name; jobs that run at the same time on one etcd differ in it.");

extern char** environ;

namespace parley {
namespace {

Environment EnvironmentOfProcess() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const char* const equals = std::strchr(*entry, '=');
    if (equals != nullptr) {
      environment[std::string(*entry, static_cast<size_t>(equals - *entry))] = equals + 1;
    }
  }
  return environment;
}

}  // namespace

FlagGroup ClusterFlagGroup(const std::vector<std::string>& more) {
  FlagGroup group = {
      "The cluster",
      {"ps_hosts", "worker_hosts", "task_index", "ps", "workers", "shards", "port", "etcd", "job"}};
  group.flags.insert(group.flags.end(), more.begin(), more.end());
  return group;
}

absl::StatusOr<Cluster> ClusterFromFlags(TaskType type) {
  ClusterFlags flags;
  flags.ps_hosts = FLAGS_ps_hosts;
  flags.worker_hosts = FLAGS_worker_hosts;
  flags.task_index = FLAGS_task_index;
  flags.ps = FLAGS_ps;
  flags.workers = FLAGS_workers;
  flags.shards = FLAGS_shards;
  flags.etcd = !FLAGS_etcd.empty();
  flags.port = FLAGS_port;
  flags.environment = EnvironmentOfProcess();
  return ReadCluster(flags, type);
}

absl::StatusOr<std::shared_ptr<EtcdClient>> EtcdFromFlags() {
  if (FLAGS_etcd.empty()) return std::shared_ptr<EtcdClient>();
  if (const absl::Status status = CheckJobKey(FLAGS_job); !status.ok()) {
    return Annotate(status, "--job");
  }
  absl::StatusOr<std::unique_ptr<EtcdClient>> client = EtcdClient::Create(FLAGS_etcd);
  if (!client.ok()) return Annotate(client.status(), "--etcd");
  return std::shared_ptr<EtcdClient>(*std::move(client));
}

}  // namespace parley
