#include "net/cluster.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "google/protobuf/util/json_util.h"
#include "net/tf_config.pb.h"

namespace parley {
namespace {

const char* NameOf(TaskType type) { return type == TaskType::kPs ? "ps" : "worker"; }

absl::Status Invalid(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Port 0 is for a task that takes a free one; only its own address, or one that nobody connects to,
// may have it.
absl::Status CheckAddresses(const std::vector<std::string>& addresses, absl::string_view where) {
  absl::flat_hash_set<std::string> seen;
  for (const std::string& address : addresses) {
    const size_t colon = address.rfind(':');
    int port = -1;
    if (colon == std::string::npos || colon == 0 ||
        !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
      return Invalid(absl::StrCat(where, ": \"", address, "\" is not host:port"));
    }
    if (port != 0 && !seen.insert(address).second) {
      return Invalid(absl::StrCat(where, ": ", address, " is there twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Cluster> ReadTfConfig(const std::string& json, TaskType type) {
  TfConfig config;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // "environment", "evaluator" and the like
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &config, options);
  if (!parsed.ok()) {
    const std::string why = parsed.ToString();
    return Invalid(
        absl::StrCat("TF_CONFIG is not as it should be: ", why.substr(0, why.find('\n'))));
  }
  if (!config.has_cluster() || !config.has_task()) {
    return Invalid("TF_CONFIG needs the objects cluster and task");
  }
  Cluster cluster;
  cluster.ps.assign(config.cluster().ps().begin(), config.cluster().ps().end());
  cluster.workers.assign(config.cluster().chief().begin(), config.cluster().chief().end());
  const int chiefs = config.cluster().chief_size();
  if (chiefs > 1) return Invalid("TF_CONFIG: cluster.chief has more than one task");
  cluster.workers.insert(cluster.workers.end(), config.cluster().worker().begin(),
                         config.cluster().worker().end());

  const TfConfig::Task& task = config.task();
  cluster.task_index = task.index();
  if (task.index() < 0) return Invalid("TF_CONFIG: task.index is negative");
  if (type == TaskType::kWorker && task.type() == "chief" && chiefs == 1) {
    if (task.index() != 0) return Invalid("TF_CONFIG: task.index of the chief is not 0");
    return cluster;
  }
  if (task.type() != NameOf(type)) {
    return Invalid(absl::StrCat("TF_CONFIG: task.type is \"", task.type(), "\", but this is a ",
                                NameOf(type)));
  }
  const int tasks =
      type == TaskType::kPs ? config.cluster().ps_size() : config.cluster().worker_size();
  if (task.index() >= tasks) {
    return Invalid(absl::StrCat("TF_CONFIG: task.index is ", task.index(), ", but there are only ",
                                tasks, " ", NameOf(type), " tasks"));
  }
  if (type == TaskType::kWorker) cluster.task_index += chiefs;
  return cluster;
}

std::vector<std::string> SplitHosts(const std::string& hosts) {
  if (hosts.empty()) return {};
  return absl::StrSplit(hosts, ',');
}

// Refuses a flag that says something else than TF_CONFIG.
absl::Status CheckAgree(const ClusterFlags& flags, const Cluster& config) {
  if (!flags.ps_hosts.empty() && SplitHosts(flags.ps_hosts) != config.ps) {
    return Invalid(absl::StrCat("--ps_hosts=", flags.ps_hosts, " contradicts TF_CONFIG, which has ",
                                absl::StrJoin(config.ps, ",")));
  }
  if (!flags.worker_hosts.empty() && SplitHosts(flags.worker_hosts) != config.workers) {
    return Invalid(absl::StrCat("--worker_hosts=", flags.worker_hosts,
                                " contradicts TF_CONFIG, which has ",
                                absl::StrJoin(config.workers, ",")));
  }
  if (flags.task_index >= 0 && flags.task_index != config.task_index) {
    return Invalid(absl::StrCat("--task_index=", flags.task_index,
                                " contradicts TF_CONFIG, which has ", config.task_index));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Cluster> ReadCluster(const ClusterFlags& flags, TaskType type) {
  if (flags.task_index < -1)
    return Invalid(absl::StrCat("--task_index=", flags.task_index, " is negative"));
  Cluster cluster;
  if (!flags.tf_config.empty()) {
    PARLEY_ASSIGN_OR_RETURN(cluster, ReadTfConfig(flags.tf_config, type));
    PARLEY_RETURN_IF_ERROR(CheckAgree(flags, cluster));
  } else {
    cluster.ps = SplitHosts(flags.ps_hosts);
    cluster.workers = SplitHosts(flags.worker_hosts);
    if (cluster.ps.empty())
      return Invalid("--ps_hosts is missing (or TF_CONFIG in the environment)");
    if (cluster.workers.empty())
      return Invalid("--worker_hosts is missing (or TF_CONFIG in the environment)");
    if (flags.task_index < 0)
      return Invalid("--task_index is missing (or TF_CONFIG in the environment)");
    cluster.task_index = flags.task_index;
  }
  PARLEY_RETURN_IF_ERROR(CheckAddresses(cluster.ps, "the ps tasks"));
  PARLEY_RETURN_IF_ERROR(CheckAddresses(cluster.workers, "the worker tasks"));
  const size_t tasks = type == TaskType::kPs ? cluster.ps.size() : cluster.workers.size();
  if (cluster.ps.empty() || cluster.workers.empty()) {
    return Invalid("a cluster needs a ps task and a worker task, at the least");
  }
  if (static_cast<size_t>(cluster.task_index) >= tasks) {
    return Invalid(absl::StrCat("task index ", cluster.task_index, ", but there are only ", tasks,
                                " ", NameOf(type), " tasks"));
  }
  return cluster;
}

}  // namespace parley
