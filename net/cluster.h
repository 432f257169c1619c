#ifndef PARLEY_NET_CLUSTER_H_
#define PARLEY_NET_CLUSTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parley {

// Where the tasks of a job are, and which of them this one is.
struct Cluster {
  std::vector<std::string> ps;       // "host:port", by index
  std::vector<std::string> workers;  // likewise; worker 0 is the chief
  int task_index = 0;                // of this task, among those of its type
};

// What a program was told of its cluster: by TensorFlow's conventional flags, and by TF_CONFIG in
// the environment.
struct ClusterFlags {
  std::string ps_hosts;      // "a:1,b:2"; empty: not given
  std::string worker_hosts;  // likewise
  int task_index = -1;       // -1: not given
  std::string tf_config;     // JSON; empty: not given
};

enum class TaskType { kPs, kWorker };

// The cluster that the flags describe, or TF_CONFIG:
//   {"cluster": {"ps": ["a:1", "b:2"], "worker": ["c:3", "d:4"]}, "task": {"type": "worker",
//   "index": 1}}
// With a "chief" in the cluster, as TensorFlow has it, that is worker 0, and the indices of the
// others go up by one. Both may be given when they agree.
//
// INVALID_ARGUMENT, in one line: nothing given, an address that is not host:port or is given twice,
// an index out of range, a TF_CONFIG that is no such JSON or describes a task of another type,
// flags that contradict it.
absl::StatusOr<Cluster> ReadCluster(const ClusterFlags& flags, TaskType type);

}  // namespace parley

#endif  // PARLEY_NET_CLUSTER_H_
