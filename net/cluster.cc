#include "net/cluster.h"

#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace parley {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

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

const Value* Find(const Struct& object, const char* name) {
  const auto it = object.fields().find(name);
  return it == object.fields().end() ? nullptr : &it->second;
}

absl::StatusOr<std::vector<std::string>> ReadHosts(const Struct& cluster, const char* type) {
  std::vector<std::string> hosts;
  const Value* const value = Find(cluster, type);
  if (value == nullptr) return hosts;
  if (!value->has_list_value()) {
    return Invalid(absl::StrCat("TF_CONFIG: cluster.", type, " is not a list"));
  }
  for (const Value& host : value->list_value().values()) {
    if (host.kind_case() != Value::kStringValue) {
      return Invalid(
          absl::StrCat("TF_CONFIG: cluster.", type, " holds something that is no string"));
    }
    hosts.push_back(host.string_value());
  }
  return hosts;
}

absl::StatusOr<Cluster> ReadTfConfig(const std::string& json, TaskType type) {
  Struct config;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &config);
  if (!parsed.ok()) {
    const std::string why = parsed.ToString();
    return Invalid(absl::StrCat("TF_CONFIG is not a JSON object: ", why.substr(0, why.find('\n'))));
  }
  const Value* const cluster_value = Find(config, "cluster");
  const Value* const task_value = Find(config, "task");
  if (cluster_value == nullptr || !cluster_value->has_struct_value() || task_value == nullptr ||
      !task_value->has_struct_value()) {
    return Invalid("TF_CONFIG needs the objects cluster and task");
  }
  Cluster cluster;
  PARLEY_ASSIGN_OR_RETURN(cluster.ps, ReadHosts(cluster_value->struct_value(), "ps"));
  PARLEY_ASSIGN_OR_RETURN(cluster.workers, ReadHosts(cluster_value->struct_value(), "chief"));
  const size_t chiefs = cluster.workers.size();
  if (chiefs > 1) return Invalid("TF_CONFIG: cluster.chief has more than one task");
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> workers,
                          ReadHosts(cluster_value->struct_value(), "worker"));
  cluster.workers.insert(cluster.workers.end(), workers.begin(), workers.end());

  const Value* const type_value = Find(task_value->struct_value(), "type");
  const Value* const index_value = Find(task_value->struct_value(), "index");
  if (type_value == nullptr || type_value->kind_case() != Value::kStringValue ||
      index_value == nullptr) {
    return Invalid("TF_CONFIG: task needs type and index");
  }
  double index = index_value->number_value();
  if (index_value->kind_case() == Value::kStringValue &&
      !absl::SimpleAtod(index_value->string_value(), &index)) {
    index = -1;
  }
  if (!(index >= 0 && index < 1e6) || index != std::floor(index)) {
    return Invalid("TF_CONFIG: task.index is not a whole number from 0");
  }
  cluster.task_index = static_cast<int>(index);
  const std::string& named = type_value->string_value();
  if (type == TaskType::kWorker && named == "chief" && chiefs == 1) {
    if (cluster.task_index != 0) return Invalid("TF_CONFIG: task.index of the chief is not 0");
    return cluster;
  }
  if (named != NameOf(type)) {
    return Invalid(
        absl::StrCat("TF_CONFIG: task.type is \"", named, "\", but this is a ", NameOf(type)));
  }
  if (type == TaskType::kWorker) cluster.task_index += static_cast<int>(chiefs);
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
