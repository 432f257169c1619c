#ifndef PARLEY_NET_CLUSTER_H_
#define PARLEY_NET_CLUSTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/launch_environment.h"

namespace parley {

// Where the tasks of a job are, and which of them this one is.
struct Cluster {
  std::vector<std::string> ps;  // "host:port", by index; empty: they say in etcd where they are
  int num_ps = 0;
  int num_shards = 0;        // of the job; as many as ps tasks, unless told
  bool shards_told = false;  // whether it was
  int num_workers = 0;       // worker 0 is the chief
  int task_index = 0;        // of this task, among those of its type
};

// What a program was told of its cluster, by flags and in the environment.
struct ClusterFlags {
  std::string ps_hosts;      // "a:1,b:2"; empty: not given
  std::string worker_hosts;  // likewise; workers do not listen, so only their number counts
  int task_index = -1;       // -1: not given
  int ps = 0;                // how many; 0: not given
  int workers = 0;           // likewise
  int shards = 0;            // of the job; 0: not given
  bool etcd = false;         // whether addresses are found in etcd
  int port = 2222;           // of ps task 0, where a launcher says on which hosts the tasks are
  Environment environment;   // TF_CONFIG, and what launchers set
};

enum class TaskType { kPs, kWorker };

// The cluster that the flags describe. What they leave open is taken from the environment:
// - from TF_CONFIG, where that is set:
//   {"cluster": {"ps": ["a:1", "b:2"], "worker": ["c:3", "d:4"]}, "task": {"type": "worker",
//   "index": 1}}
//   With a "chief" in the cluster, as TensorFlow has it, that is worker 0, and the indices of the
//   others go up by one. TF_CONFIG is read even when the flags leave nothing open.
// - otherwise from mpirun or srun (ReadLaunchEnvironment): the first `ps` ranks are the ps tasks,
// and
//   task i of them listens on its host, on `port` + i.
// Both may say the same when they agree.
//
// With etcd a ps task's index may be that of one that was added to the job: it is not checked.
//
// INVALID_ARGUMENT, in one line: something that nobody says, an address that is not host:port or is
// given twice, an index out of range, a TF_CONFIG that is no such JSON, a task of another type than
// `type`, flags that contradict each other or the environment; both sides are named.
absl::StatusOr<Cluster> ReadCluster(const ClusterFlags& flags, TaskType type);

}  // namespace parley

#endif  // PARLEY_NET_CLUSTER_H_
