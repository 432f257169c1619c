#include "deploy/scale.h"

#include <iostream>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/flags.h"
#include "base/status.h"
#include "deploy/scale_ps.h"
#include "gflags/gflags.h"
#include "net/discovery.h"
#include "net/etcd_client.h"

DECLARE_string(etcd);  // in deploy/job_flags.cc, as the next
DECLARE_string(job);
DECLARE_string(wait);  // in deploy/operator_commands.cc
DECLARE_int32(ps);     // in deploy/parley_main.cc

namespace parley {

int ScaleCommand(const std::vector<std::string>& arguments) {
  const CommandLine line = {
      "parley scale",
      "usage: parley scale --etcd=e:2379 --job=mine --ps=3 [flags]\n\n"
      "Has a running job go on with another number of ps tasks, and waits until each has the "
      "shards "
      "that are to be there. Tasks that are added are started beside it, before or afterwards, as "
      "the others were, with a --task_index of their own; those that are to go end by themselves. "
      "The job's ps tasks need --replicas=1 and --etcd.",
      {{"The job", {"etcd", "job", "ps", "wait"}}}};
  ParseFlags(line, arguments);
  google::CommandLineFlagInfo ps;
  if (!google::GetCommandLineFlagInfo("ps", &ps) || ps.is_default) {
    ExitWithFlagError(line, "how many tasks? --ps says so");
  }
  if (FLAGS_etcd.empty()) ExitWithFlagError(line, "which job? --etcd says where it is");
  const std::string job = FLAGS_job.empty() ? "parley" : FLAGS_job;
  if (const absl::Status status = CheckJobKey(job); !status.ok()) {
    ExitWithFlagError(line, absl::StrCat("--job: ", std::string(status.message())));
  }
  absl::Duration wait;
  if (!absl::ParseDuration(FLAGS_wait, &wait) || wait <= absl::ZeroDuration() ||
      wait > absl::Hours(24 * 365)) {
    ExitWithFlagError(line, absl::StrCat("--wait=", FLAGS_wait, " is not a duration, like 60s"));
  }
  const absl::StatusOr<std::unique_ptr<EtcdClient>> etcd = EtcdClient::Create(FLAGS_etcd);
  if (!etcd.ok()) {
    ExitWithFlagError(line, absl::StrCat("--etcd: ", std::string(etcd.status().message())));
  }
  const absl::Status scaled = ScalePsTasks(etcd->get(), job, FLAGS_ps, wait, &std::cout);
  if (absl::IsInvalidArgument(scaled)) ExitWithFlagError(line, std::string(scaled.message()));
  if (!scaled.ok()) {
    std::cerr << line.program << ": " << scaled.message() << std::endl;
    return 1;
  }
  std::cout << "job " << job << " has " << FLAGS_ps << " ps tasks" << std::endl;
  return 0;
}

}  // namespace parley
