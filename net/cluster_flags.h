#ifndef PARLEY_NET_CLUSTER_FLAGS_H_
#define PARLEY_NET_CLUSTER_FLAGS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/flags.h"
#include "net/cluster.h"
#include "net/etcd_client.h"

namespace parley {

// The flags of parley_ps and parley_worker that say where the job's tasks are, --job among them.
// Thread safety: none; for main, after the flags are parsed.

// For CommandLine::groups (base/flags.h), with `more` flags of the program at its end.
FlagGroup ClusterFlagGroup(const std::vector<std::string>& more);

// What the flags and the environment of the process describe. INVALID_ARGUMENT: see ReadCluster.
absl::StatusOr<Cluster> ClusterFromFlags(TaskType type);

// To the etcd of --etcd; null without it. INVALID_ARGUMENT for what is no list of endpoints, and
// for a job that cannot be a key there. Connects to nobody yet.
absl::StatusOr<std::shared_ptr<EtcdClient>> EtcdFromFlags();

}  // namespace parley

#endif  // PARLEY_NET_CLUSTER_FLAGS_H_
