#include "deploy/job_flags.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "gflags/gflags.h"
#include "net/discovery.h"

DEFINE_string(ps_hosts, "", "The ps tasks of the job, host:port,host:port,... by index.");
DEFINE_string(etcd, "",
              "Instead: endpoints of the etcd where the ps tasks say where they are, "
              "host:port,host:port,...");
DEFINE_string(job, "", "The job's name; with --etcd: parley unless told.");
DEFINE_string(timeout, "3s", "How long each ps task has to answer.");

namespace parley {

FlagGroup JobFlagGroup() { return {"The job", {"ps_hosts", "etcd", "job", "timeout"}}; }

bool HasJobFlags() { return !FLAGS_ps_hosts.empty() || !FLAGS_etcd.empty(); }

absl::StatusOr<std::unique_ptr<JobLink>> LinkOfFlags() {
  const auto invalid = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  JobLinkOptions options;
  options.job = FLAGS_job;
  if (!absl::ParseDuration(FLAGS_timeout, &options.timeout) ||
      options.timeout <= absl::ZeroDuration() || options.timeout > absl::Hours(1)) {
    return invalid("--timeout=", FLAGS_timeout, " is not a duration up to an hour, like 3s");
  }
  if (FLAGS_ps_hosts.empty() == FLAGS_etcd.empty()) {
    return invalid(FLAGS_etcd.empty() ? "which job? --ps_hosts or --etcd says where it is"
                                      : "--ps_hosts and --etcd contradict each other");
  }
  if (!FLAGS_ps_hosts.empty()) {
    options.ps = absl::StrSplit(FLAGS_ps_hosts, ',');
    for (const std::string& host : options.ps) {
      const size_t colon = host.rfind(':');
      if (colon != std::string::npos && colon > 0 && colon + 1 < host.size()) continue;
      return invalid("--ps_hosts: '", host, "' is not host:port");
    }
    return std::make_unique<JobLink>(std::move(options));
  }
  if (options.job.empty()) options.job = "parley";
  if (const absl::Status status = CheckJobKey(options.job); !status.ok()) {
    return Annotate(status, "--job");
  }
  EtcdClientOptions etcd;
  etcd.timeout = options.timeout;
  absl::StatusOr<std::unique_ptr<EtcdClient>> client = EtcdClient::Create(FLAGS_etcd, etcd);
  if (!client.ok()) return Annotate(client.status(), "--etcd");
  options.etcd = *std::move(client);
  return std::make_unique<JobLink>(std::move(options));
}

}  // namespace parley
