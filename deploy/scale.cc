#include "deploy/scale.h"

#include <iostream>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/flags.h"
#include "base/status.h"
#include "deploy/job_flags.h"
#include "deploy/scale_ps.h"
#include "deploy/scale_workers.h"
#include "gflags/gflags.h"
#include "net/discovery.h"
#include "net/etcd_client.h"
#include "net/job_link.h"

DECLARE_string(etcd);  // in deploy/job_flags.cc, as the next
DECLARE_string(job);
DECLARE_string(wait);  // in deploy/operator_commands.cc
DECLARE_int32(ps);     // in deploy/parley_main.cc, as the next
DECLARE_int32(workers);

namespace parley {

namespace {

bool IsGiven(const char* flag) {
  google::CommandLineFlagInfo info;
  return google::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

absl::Status ScalePs(const CommandLine& line, absl::Duration wait) {
  if (FLAGS_etcd.empty()) ExitWithFlagError(line, "--ps: which job? --etcd says where it is");
  const std::string job = FLAGS_job.empty() ? "parley" : FLAGS_job;
  if (const absl::Status status = CheckJobKey(job); !status.ok()) {
    ExitWithFlagError(line, absl::StrCat("--job: ", std::string(status.message())));
  }
  const absl::StatusOr<std::unique_ptr<EtcdClient>> etcd = EtcdClient::Create(FLAGS_etcd);
  if (!etcd.ok()) {
    ExitWithFlagError(line, absl::StrCat("--etcd: ", std::string(etcd.status().message())));
  }
  return ScalePsTasks(etcd->get(), job, FLAGS_ps, wait, &std::cout);
}

absl::Status ScaleWorkers(const CommandLine& line, absl::Duration wait) {
  const absl::StatusOr<std::unique_ptr<JobLink>> link = LinkOfFlags();
  if (!link.ok()) ExitWithFlagError(line, std::string(link.status().message()));
  return ScaleWorkers(link->get(), FLAGS_workers, wait, &std::cout);
}

}  // namespace

int ScaleCommand(const std::vector<std::string>& arguments) {
  FlagGroup group = JobFlagGroup();
  for (const char* flag : {"workers", "ps", "wait"}) group.flags.push_back(flag);
  const CommandLine line = {
      "parley scale",
      "usage: parley scale --ps_hosts=a:1,b:2 --workers=6 [flags]\n"
      "       parley scale --etcd=e:2379 --job=mine [--workers=6] [--ps=3] [flags]\n\n"
      "Has a running job go on with another number of workers, those with an index below "
      "--workers, "
      "or of ps tasks, and waits until it has them. Workers that are added are started afterwards, "
      "where parley launch does not do it, and ps tasks before or afterwards, as the others were, "
      "with the new number and a --task_index of their own; those that are to go end by "
      "themselves. --ps needs a job whose ps tasks have --replicas=1 and --etcd.",
      {group}};
  ParseFlags(line, arguments);
  const bool ps = IsGiven("ps");
  const bool workers = IsGiven("workers");
  if (!ps && !workers) ExitWithFlagError(line, "how many tasks? --workers or --ps says so");
  absl::Duration wait;
  if (!absl::ParseDuration(FLAGS_wait, &wait) || wait <= absl::ZeroDuration() ||
      wait > absl::Hours(24 * 365)) {
    ExitWithFlagError(line, absl::StrCat("--wait=", FLAGS_wait, " is not a duration, like 60s"));
  }
  absl::Status scaled;
  if (ps) scaled = ScalePs(line, wait);
  if (scaled.ok() && workers) scaled = ScaleWorkers(line, wait);
  if (absl::IsInvalidArgument(scaled)) ExitWithFlagError(line, std::string(scaled.message()));
  if (!scaled.ok()) {
    std::cerr << line.program << ": " << scaled.message() << std::endl;
    return 1;
  }
  if (ps) std::cout << "the job has " << FLAGS_ps << " ps tasks" << std::endl;
  if (workers) {
    std::cout << "the job has " << FLAGS_workers << (FLAGS_workers == 1 ? " worker" : " workers")
              << std::endl;
  }
  return 0;
}

}  // namespace parley
