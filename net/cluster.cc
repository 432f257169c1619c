#include "net/cluster.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "google/protobuf/util/json_util.h"
#include "net/launch_environment.h"
#include "net/tf_config.pb.h"

namespace parley {
namespace {

// More of either no job has (net/shard_records.h).
constexpr int kMostShards = 1 << 16;

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

// What one source says of the cluster; what it does not say is not set.
struct Said {
  std::optional<std::vector<std::string>> ps;       // addresses
  std::optional<std::vector<std::string>> workers;  // likewise
  std::optional<int> num_ps, num_workers, task_index;
  std::string source;  // for errors
};

absl::StatusOr<Said> FromTfConfig(const std::string& json, TaskType type) {
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
  Said said;
  said.source = "TF_CONFIG";
  said.ps.emplace(config.cluster().ps().begin(), config.cluster().ps().end());
  said.workers.emplace(config.cluster().chief().begin(), config.cluster().chief().end());
  const int chiefs = config.cluster().chief_size();
  if (chiefs > 1) return Invalid("TF_CONFIG: cluster.chief has more than one task");
  said.workers->insert(said.workers->end(), config.cluster().worker().begin(),
                       config.cluster().worker().end());
  said.num_ps = config.cluster().ps_size();
  said.num_workers = chiefs + config.cluster().worker_size();

  const TfConfig::Task& task = config.task();
  said.task_index = task.index();
  if (task.index() < 0) return Invalid("TF_CONFIG: task.index is negative");
  if (type == TaskType::kWorker && task.type() == "chief" && chiefs == 1) {
    if (task.index() != 0) return Invalid("TF_CONFIG: task.index of the chief is not 0");
    return said;
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
  if (type == TaskType::kWorker) *said.task_index += chiefs;
  return said;
}

std::vector<std::string> SplitHosts(const std::string& hosts) {
  if (hosts.empty()) return {};
  return absl::StrSplit(hosts, ',');
}

// The number of tasks that one flag lists and another counts.
absl::StatusOr<std::optional<int>> Count(const char* list_flag, const std::string& list,
                                         const char* count_flag, int count) {
  if (count < 0) return Invalid(absl::StrCat("--", count_flag, "=", count, " is negative"));
  if (list.empty()) return count == 0 ? std::nullopt : std::make_optional(count);
  const int listed = static_cast<int>(SplitHosts(list).size());
  if (count != 0 && count != listed) {
    return Invalid(absl::StrCat("--", count_flag, "=", count, " contradicts --", list_flag, "=",
                                list, ", which has ", listed));
  }
  return std::make_optional(listed);
}

absl::StatusOr<Said> FromFlags(const ClusterFlags& flags) {
  Said said;
  if (flags.task_index < -1)
    return Invalid(absl::StrCat("--task_index=", flags.task_index, " is negative"));
  if (flags.task_index >= 0) said.task_index = flags.task_index;
  if (!flags.ps_hosts.empty()) said.ps = SplitHosts(flags.ps_hosts);
  if (!flags.worker_hosts.empty()) said.workers = SplitHosts(flags.worker_hosts);
  PARLEY_ASSIGN_OR_RETURN(said.num_ps, Count("ps_hosts", flags.ps_hosts, "ps", flags.ps));
  PARLEY_ASSIGN_OR_RETURN(said.num_workers,
                          Count("worker_hosts", flags.worker_hosts, "workers", flags.workers));
  if (flags.etcd && said.ps.has_value()) {
    return Invalid("--ps_hosts and --etcd contradict each other: with --etcd, say --ps");
  }
  return said;
}

// What mpirun or srun says, or nothing.
absl::StatusOr<Said> FromLauncher(const ClusterFlags& flags, std::optional<int> num_ps,
                                  TaskType type) {
  PARLEY_ASSIGN_OR_RETURN(const std::optional<LaunchEnvironment> launch,
                          ReadLaunchEnvironment(flags.environment));
  Said said;
  if (!launch.has_value()) return said;
  const std::string size = absl::StrCat(launch->size_variable, "=", launch->size);
  const std::string rank = absl::StrCat(launch->rank_variable, "=", launch->rank);
  if (!num_ps.has_value()) {
    return Invalid(absl::StrCat("--ps is missing: how many of the tasks are ps tasks, of ", size));
  }
  if (*num_ps >= launch->size) {
    return Invalid(absl::StrCat("--ps=", *num_ps, " contradicts ", size, ": no worker is left"));
  }
  if ((launch->rank < *num_ps) != (type == TaskType::kPs)) {
    return Invalid(absl::StrCat("--ps=", *num_ps, " contradicts ", rank, ": this is a ",
                                NameOf(type), ", and the first ", *num_ps, " are the ps tasks"));
  }
  said.source = absl::StrCat(rank, " of ", size);
  said.num_ps = num_ps;
  said.num_workers = launch->size - *num_ps;
  said.task_index = type == TaskType::kPs ? launch->rank : launch->rank - *num_ps;
  if (flags.etcd || !flags.ps_hosts.empty()) return said;
  if (launch->hosts.empty()) {
    return Invalid(absl::StrCat("it is not known where the ps tasks run: ", rank,
                                " says no host; --etcd or --ps_hosts is missing"));
  }
  if (flags.port < 1 || flags.port > 65536 - *num_ps) {
    return Invalid(absl::StrCat("--port=", flags.port, " is not in [1, ", 65536 - *num_ps, "]"));
  }
  said.ps.emplace();
  for (int i = 0; i < *num_ps; ++i) {
    said.ps->push_back(absl::StrCat(launch->hosts[static_cast<size_t>(i)], ":", flags.port + i));
  }
  return said;
}

std::string Text(int value) { return absl::StrCat(value); }
std::string Text(const std::vector<std::string>& value) { return absl::StrJoin(value, ","); }

// Takes what the flags leave open from the environment, called `source` in errors. What both say
// must be the same.
template <typename T>
absl::Status Merge(const char* flag, absl::string_view source, const std::optional<T>& other,
                   std::optional<T>* value) {
  if (!other.has_value()) return absl::OkStatus();
  if (value->has_value() && **value != *other) {
    return Invalid(absl::StrCat("--", flag, "=", Text(**value), " contradicts ", source,
                                ", which has ", Text(*other)));
  }
  *value = other;
  return absl::OkStatus();
}

absl::Status MergeAll(const Said& other, Said* said) {
  PARLEY_RETURN_IF_ERROR(Merge("ps_hosts", other.source, other.ps, &said->ps));
  PARLEY_RETURN_IF_ERROR(Merge("worker_hosts", other.source, other.workers, &said->workers));
  PARLEY_RETURN_IF_ERROR(Merge("ps", other.source, other.num_ps, &said->num_ps));
  PARLEY_RETURN_IF_ERROR(Merge("workers", other.source, other.num_workers, &said->num_workers));
  return Merge("task_index", other.source, other.task_index, &said->task_index);
}

// For what neither the flags nor the environment say.
absl::Status Missing(absl::string_view flag) {
  return Invalid(
      absl::StrCat(flag, " is missing (or TF_CONFIG, or mpirun or srun, in the environment)"));
}

}  // namespace

absl::StatusOr<Cluster> ReadCluster(const ClusterFlags& flags, TaskType type) {
  PARLEY_ASSIGN_OR_RETURN(Said said, FromFlags(flags));
  const auto tf_config = flags.environment.find("TF_CONFIG");
  if (tf_config != flags.environment.end() && !tf_config->second.empty()) {
    PARLEY_ASSIGN_OR_RETURN(Said config, FromTfConfig(tf_config->second, type));
    if (flags.etcd) config.ps.reset();
    PARLEY_RETURN_IF_ERROR(MergeAll(config, &said));
  } else if (!(said.ps.has_value() || (flags.etcd && said.num_ps.has_value())) ||
             !said.num_workers.has_value() || !said.task_index.has_value()) {
    PARLEY_ASSIGN_OR_RETURN(const Said launch, FromLauncher(flags, said.num_ps, type));
    PARLEY_RETURN_IF_ERROR(MergeAll(launch, &said));
  }
  if (!said.num_ps.has_value()) return Missing(flags.etcd ? "--ps" : "--ps_hosts");
  if (!flags.etcd && !said.ps.has_value()) return Missing("--ps_hosts");
  if (!said.num_workers.has_value()) return Missing("--worker_hosts");
  if (!said.task_index.has_value()) return Missing("--task_index");
  if (said.ps.has_value()) PARLEY_RETURN_IF_ERROR(CheckAddresses(*said.ps, "the ps tasks"));
  if (said.workers.has_value()) {
    PARLEY_RETURN_IF_ERROR(CheckAddresses(*said.workers, "the worker tasks"));
  }
  if (*said.num_ps < 1 || *said.num_workers < 1) {
    return Invalid("a cluster needs a ps task and a worker task, at the least");
  }
  if (flags.shards != 0) {
    if (!flags.etcd) return Invalid("--shards needs --etcd");
    if (flags.shards < *said.num_ps) {
      return Invalid(absl::StrCat("--shards=", flags.shards, ": there are ", *said.num_ps,
                                  " ps tasks, of which each has one shard or more"));
    }
    if (flags.shards > kMostShards) {
      return Invalid(absl::StrCat("--shards=", flags.shards, " is more than ", kMostShards));
    }
  }
  const int tasks = type == TaskType::kPs ? *said.num_ps : *said.num_workers;
  // With etcd, ps tasks may come while the job runs.
  const bool may_be_added = type == TaskType::kPs && flags.etcd && *said.task_index < kMostShards;
  if (*said.task_index >= tasks && !may_be_added) {
    return Invalid(absl::StrCat("task index ", *said.task_index, ", but there are only ", tasks,
                                " ", NameOf(type), " tasks"));
  }
  Cluster cluster;
  if (said.ps.has_value()) cluster.ps = *std::move(said.ps);
  cluster.num_ps = *said.num_ps;
  cluster.num_shards = flags.shards == 0 ? *said.num_ps : flags.shards;
  cluster.shards_told = flags.shards != 0;
  cluster.num_workers = *said.num_workers;
  cluster.task_index = *said.task_index;
  return cluster;
}

}  // namespace parley
