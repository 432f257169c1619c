#include "ps/ps_program.h"

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/byte_size.h"
#include "base/env.h"
#include "base/flags.h"
#include "base/keep_freed_memory.h"
#include "base/metrics_flags.h"
#include "base/status.h"
#include "base/task_log.h"
#include "base/trace_flags.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/cluster.h"
#include "net/cluster_flags.h"
#include "net/discovery.h"
#include "ps/status_page.h"

DECLARE_string(job);  // in net/cluster_flags.cc, for etcd
DEFINE_string(listen, "",
              "Where this task listens, host:port, when that is not its address in --ps_hosts: "
              "0.0.0.0:2222 for all addresses of this machine. With --etcd the default is a free "
              "port of this machine's name, and other tasks are told what is said here.");
DEFINE_string(
    checkpoint_dir, "",
    "The folder of checkpoints, the same for all tasks. Without it none can be made or restored.");
DEFINE_string(
    durability, "none",
    "disk: every change is on disk, in --durable_dir, before it is acknowledged, and a task that "
    "is started again goes on from there. none: it goes on from the last checkpoint.");
DEFINE_string(durable_dir, "",
              "The folder of the logs of --durability=disk; --checkpoint_dir/log unless told.");
DEFINE_int32(replicas, 0,
             "1: another ps task, the next one, keeps a copy of this one's shard, which has every "
             "change before it is acknowledged; a task that is started again takes its state from "
             "there. With --etcd the one that has the copy takes over. The same for all ps tasks.");
DEFINE_string(replica_patience, "10s",
              "How long changes wait for a copy whose task is not there; then it goes on without. "
              "With --etcd: also how long a shard waits for a task that has its state.");
DEFINE_string(
    leader_lease, "2s",
    "With --replicas=1 and --etcd: about how long after a ps task's host has gone another "
    "task takes over its shards; one that can reach etcd no more is silent sooner. Where "
    "only the task has died, another takes over at once. In whole seconds, etcd's own "
    "limit is 2s.");
DEFINE_string(memory_limit, "",
              "What a shard may need for parameters, slots, rows of tables and the gradients of "
              "open rounds, and as "
              "much again for each copy of another shard, like 8GiB: a job that needs more is "
              "refused. The machine's memory unless told.");
DEFINE_string(spill_dir, "",
              "Where rows of tables go for which there is no room in their memory_limit, on a disk "
              "of this machine: the task has files without a name there, of which nothing is left "
              "whatever ends it.");
DEFINE_bool(keep_serving, false, "Stay when the job is done, instead of exiting.");
DEFINE_string(
    lease, "10s",
    "Synchronous and bounded rounds do not wait for a worker of which nothing was heard for "
    "so long.");
DEFINE_string(replace_after, "",
              "After this silence a worker's place may be taken by another start of it; heartbeats "
              "come four times as often. At most the lease; a quarter of it unless told.");
DEFINE_string(drain_timeout, "25s",
              "After SIGTERM: how long to wait for the job's workers, which are asked to stop too, "
              "to leave. With --durability=disk they are not waited for. With --replicas=1 and "
              "--etcd: for other ps tasks to have all that is here, with which the job goes on.");
DEFINE_int32(
    status_port, -1,
    "The port where this task shows the job to people, as a page; 0: a free one, which the "
    "log says; -1: none. When it is in use, the task goes on without.");
DEFINE_int32(threads, 0, "Threads that own the blocks; 0: one for each core, at most 4.");
DEFINE_int32(max_message_mib, 64, "The longest message, in MiB; a longer one is refused.");

DEFINE_bool(report_progress, false,
            "Print how far the shard is, every second, in lines for a program that draws them, as "
            "`parley launch` does on a terminal.");

namespace parley {
namespace {

CommandLine MakeCommandLine(const std::string& path) {
  const std::string program = path.substr(path.rfind('/') + 1);
  return {program,
          absl::StrCat("usage: ", program,
                       " --ps_hosts=a:1,b:2 --worker_hosts=c:3,d:4 --task_index=0 [flags]\n\n"
                       "Serves one shard of a job's parameters until every worker has left."),
          {ClusterFlagGroup({"listen"}),
           {"The shard",
            {"checkpoint_dir", "durability", "durable_dir", "replicas", "replica_patience",
             "leader_lease", "memory_limit", "spill_dir", "keep_serving", "lease", "replace_after",
             "drain_timeout", "threads", "max_message_mib"}},
           {"Watching it",
            {"metrics_port", "status_port", "log_json", "profile", "profile_steps",
             "report_progress"}}}};
}

std::string HostName() {
  char name[256] = "localhost";
  gethostname(name, sizeof(name) - 1);
  return name;
}

std::string WhereToListen(const Cluster& cluster) {
  if (!FLAGS_listen.empty()) return FLAGS_listen;
  if (!cluster.ps.empty()) return cluster.ps[static_cast<size_t>(cluster.task_index)];
  return absl::StrCat(HostName(), ":0");
}

// Where the job's shards are for one who looks at it from this task, which listens on `port` of
// `host`. Ports 0 of other tasks say nothing.
JobLinkOptions LinkFrom(const Cluster& cluster, const std::shared_ptr<EtcdClient>& etcd,
                        const std::string& host, int port) {
  JobLinkOptions link;
  link.timeout = absl::Seconds(1);
  if (etcd != nullptr) {
    link.job = FLAGS_job;
    link.etcd = etcd;
    return link;
  }
  for (const std::string& address : cluster.ps) {
    link.ps.push_back(absl::EndsWith(address, ":0") ? std::string() : address);
  }
  const bool any = host == "0.0.0.0" || host == "[::]";
  link.ps[static_cast<size_t>(cluster.task_index)] =
      absl::StrCat(any ? "localhost" : host, ":", port);
  return link;
}

// The page that --status_port asks for; null, with a warning where it cannot be: training does not
// need it.
std::unique_ptr<StatusPage> ServeStatus(const std::string& task, const Server* server,
                                        JobLinkOptions link) {
  if (FLAGS_status_port < 0) return nullptr;
  StatusPageOptions options;
  options.port = FLAGS_status_port;
  options.task = task;
  options.own = [server] { return server->View(); };
  options.job = std::move(link);
  absl::StatusOr<std::unique_ptr<StatusPage>> page = StatusPage::Start(std::move(options));
  if (!page.ok()) {
    LOG(WARNING) << task << ": no status page: " << page.status().message();
    return nullptr;
  }
  LOG(INFO) << task << ": status page on port " << (*page)->port();
  return *std::move(page);
}

volatile std::sig_atomic_t g_signal = 0;

void OnSignal(int number) { g_signal = number; }

enum class Departure { kGone, kAlone, kLate };

// After SIGTERM, where other tasks can speak for this one's shards: has them do so. kGone: the job
// goes on without this task, or is done. kAlone: there are no others, or the job ends. kLate: not
// within `timeout`.
Departure Depart(const std::string& task, Server* server, absl::Duration timeout) {
  const absl::Time deadline = Env::Posix()->Now() + timeout;
  LOG(INFO) << task << ": asked to stop; other ps tasks are to go on with what is here";
  server->Leave();
  while (g_signal == SIGTERM && Env::Posix()->Now() < deadline) {
    if (server->IsAlone() || server->IsStopping()) return Departure::kAlone;
    if (server->IsSurplus()) return Departure::kGone;
    const bool standby_done = server->IsStandbyDone();
    if (server->WaitUntilDone(absl::Milliseconds(20)) && standby_done) return Departure::kGone;
  }
  return Departure::kLate;
}

// After SIGTERM, or when an operator asked for it: lets the workers that are in the job end it.
// Returns the exit code.
int Drain(const std::string& task, Server* server, absl::Duration timeout, bool restartable) {
  const auto asked = [] { return g_signal == 0 || g_signal == SIGTERM; };
  if (!restartable) server->StartDraining();
  const absl::Time deadline = Env::Posix()->Now() + timeout;
  bool waited = false;
  while (!restartable && asked() &&
         (server->HasWorkers() || (waited && !server->IsStandbyDone()))) {
    if (!waited) LOG(INFO) << task << ": asked to stop; waiting for the workers to leave";
    waited = true;
    if (Env::Posix()->Now() >= deadline) {
      LOG(WARNING) << task << ": stopping, though workers are still in the job after "
                   << absl::FormatDuration(timeout);
      return g_signal == 0 ? 1 : 128 + g_signal;
    }
    if (server->WaitUntilDone(absl::Milliseconds(100))) absl::SleepFor(absl::Milliseconds(10));
  }
  server->Stop(absl::Seconds(2));
  return asked() ? 0 : 128 + g_signal;
}

int Serve(int argc, char** argv, ServerOptions options) {
  const CommandLine command_line = MakeCommandLine(argv[0]);
  ParseFlags(command_line, argc, argv);
  const absl::StatusOr<Cluster> cluster = ClusterFromFlags(TaskType::kPs);
  const absl::StatusOr<std::shared_ptr<EtcdClient>> etcd = EtcdFromFlags();
  for (const absl::Status& status : {cluster.status(), etcd.status()}) {
    if (!status.ok()) ExitWithFlagError(command_line, std::string(status.message()));
  }
  if (!absl::ParseDuration(FLAGS_lease, &options.shard.lease) ||
      options.shard.lease <= absl::ZeroDuration()) {
    ExitWithFlagError(command_line,
                      absl::StrCat("--lease=", FLAGS_lease, " is not a duration, like 10s"));
  }
  if (!FLAGS_replace_after.empty() &&
      (!absl::ParseDuration(FLAGS_replace_after, &options.shard.replace_after) ||
       options.shard.replace_after <= absl::ZeroDuration() ||
       options.shard.replace_after > options.shard.lease)) {
    ExitWithFlagError(command_line, absl::StrCat("--replace_after=", FLAGS_replace_after,
                                                 " is not a duration up to --lease=", FLAGS_lease));
  }
  absl::Duration drain_timeout;
  if (!absl::ParseDuration(FLAGS_drain_timeout, &drain_timeout) ||
      drain_timeout < absl::ZeroDuration()) {
    ExitWithFlagError(command_line, absl::StrCat("--drain_timeout=", FLAGS_drain_timeout,
                                                 " is not a duration, like 25s"));
  }
  for (const absl::Status& status : {CheckMetricsFlags(), CheckTraceFlags()}) {
    if (!status.ok()) ExitWithFlagError(command_line, std::string(status.message()));
  }
  if (FLAGS_status_port < -1 || FLAGS_status_port > 65535) {
    ExitWithFlagError(command_line, "--status_port is not in [-1, 65535]");
  }
  if (FLAGS_threads < 0 || FLAGS_threads > 1024)
    ExitWithFlagError(command_line, "--threads is not in [0, 1024]");
  if (FLAGS_max_message_mib < 1 || FLAGS_max_message_mib > 2047) {
    ExitWithFlagError(command_line, "--max_message_mib is not in [1, 2047]");
  }
  if (FLAGS_durability != "none" && FLAGS_durability != "disk") {
    ExitWithFlagError(command_line,
                      absl::StrCat("--durability=", FLAGS_durability, " is none of none, disk"));
  }
  const bool writes = FLAGS_durability == "disk";
  if (!writes && !FLAGS_durable_dir.empty()) {
    ExitWithFlagError(command_line, "--durable_dir needs --durability=disk");
  }
  if (writes && FLAGS_durable_dir.empty() && FLAGS_checkpoint_dir.empty()) {
    ExitWithFlagError(command_line, "--durability=disk needs --durable_dir or --checkpoint_dir");
  }
  if (writes) {
    options.shard.log_folder = absl::StrCat(
        FLAGS_durable_dir.empty() ? absl::StrCat(FLAGS_checkpoint_dir, "/log") : FLAGS_durable_dir,
        "/ps-", cluster->task_index);
  }
  if (FLAGS_replicas != 0 && FLAGS_replicas != 1) {
    ExitWithFlagError(command_line,
                      absl::StrCat("--replicas=", FLAGS_replicas, " is none of 0, 1"));
  }
  options.shard.spill_folder = FLAGS_spill_dir;
  if (!FLAGS_memory_limit.empty()) {
    const absl::StatusOr<int64_t> limit = ParseByteSize(FLAGS_memory_limit);
    if (!limit.ok()) {
      ExitWithFlagError(command_line, absl::StrCat("--memory_limit: ", limit.status().message()));
    }
    options.shard.memory_limit = *limit;
  }
  if (!absl::ParseDuration(FLAGS_replica_patience, &options.shard.standby_patience) ||
      options.shard.standby_patience <= absl::ZeroDuration()) {
    ExitWithFlagError(command_line, absl::StrCat("--replica_patience=", FLAGS_replica_patience,
                                                 " is not a duration, like 10s"));
  }
  if (FLAGS_replicas == 1) {
    if (cluster->num_ps < 2) {
      ExitWithFlagError(command_line, "--replicas=1 needs at least two ps tasks");
    }
  }
  if (!absl::ParseDuration(FLAGS_leader_lease, &options.leader_lease) ||
      options.leader_lease < absl::Seconds(1)) {
    ExitWithFlagError(command_line, absl::StrCat("--leader_lease=", FLAGS_leader_lease,
                                                 " is not a duration of 1s or more, like 2s"));
  }
  if (FLAGS_replicas == 1 && *etcd != nullptr) {
    options.etcd = *etcd;
    options.job = FLAGS_job;
  } else if (FLAGS_replicas == 1) {
    const size_t next = (static_cast<size_t>(cluster->task_index) + 1) % cluster->ps.size();
    options.standby_task = absl::StrCat("ps:", next);
    options.standby_address = cluster->ps[next];
    if (absl::EndsWith(options.standby_address, ":0")) {
      ExitWithFlagError(command_line,
                        absl::StrCat("--replicas=1 needs the port of ", options.standby_task,
                                     ", which is 0 in --ps_hosts"));
    }
  }
  const bool takes_over = FLAGS_replicas == 1 && *etcd != nullptr;
  if (cluster->task_index >= cluster->num_ps && !takes_over) {
    ExitWithFlagError(command_line, absl::StrCat("--task_index=", cluster->task_index,
                                                 ", but there are only ", cluster->num_ps,
                                                 " ps tasks; more can be added to a job that "
                                                 "runs with --replicas=1 and --etcd"));
  }
  if (cluster->num_shards != cluster->num_ps && !takes_over) {
    ExitWithFlagError(command_line,
                      absl::StrCat("--shards=", cluster->num_shards, " for ", cluster->num_ps,
                                   " ps tasks needs --replicas=1 and --etcd"));
  }
  options.num_shards = cluster->num_shards;
  options.num_tasks = cluster->num_ps;
  options.shard.shard_index = cluster->task_index;
  options.shard.checkpoint_folder = FLAGS_checkpoint_dir;
  options.shard.threads = FLAGS_threads;
  options.address = WhereToListen(*cluster);
  options.grpc.max_message_bytes = FLAGS_max_message_mib << 20;
  const std::string task = absl::StrCat("ps:", cluster->task_index);
  SetLogTask(task);
  // `parley launch` starts those that are missing.
  options.shard.workers_asked = [task](int workers) {
    std::cout << absl::StrCat(task, " is asked for workers: ", workers, "\n") << std::flush;
  };
  options.shard.metrics = NewTaskMetrics(task);
  options.shard.trace = NewTraceOfFlags(task);
  const TraceWriter trace_writer(options.shard.trace);
  const std::unique_ptr<MetricsEndpoint> endpoint =
      ServeMetricsOfFlags(task, options.shard.metrics);

  // A second signal ends the task at once.
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(number, &action, nullptr);
  }
  const auto fail = [&](const absl::Status& status) {
    LogFailure(command_line.program, std::string(status.message()));
    return 1;
  };
  if (takes_over) {
    // One that is added to a running job takes from it how large that is.
    const absl::StatusOr<JobSize> size = FindJobSize(etcd->get(), FLAGS_job);
    if (!size.ok()) return fail(Annotate(size.status(), task));
    if (size->shards > 0) {
      if (cluster->shards_told && cluster->num_shards != size->shards) {
        return fail(absl::FailedPreconditionError(
            absl::StrCat(task, ": job ", FLAGS_job, " has ", size->shards,
                         " shards, not --shards=", cluster->num_shards)));
      }
      options.num_shards = size->shards;
      options.num_tasks = size->tasks;
    }
  }
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
  if (!server.ok()) return fail(server.status());  // its message names the task
  const std::string host = options.address.substr(0, options.address.rfind(':'));
  std::unique_ptr<ShardRegistration> registration;
  if (*etcd != nullptr) {
    const std::string address = absl::StrCat(
        host == "0.0.0.0" || host == "[::]" ? HostName() : host, ":", (*server)->port());
    absl::StatusOr<std::unique_ptr<ShardRegistration>> registered =
        ShardRegistration::Register(*etcd, FLAGS_job, cluster->task_index, address);
    if (!registered.ok()) return fail(registered.status());
    registration = *std::move(registered);
    if (options.etcd != nullptr) (*server)->Lead(address);
  }
  const std::unique_ptr<StatusPage> status_page =
      ServeStatus(task, server->get(), LinkFrom(*cluster, *etcd, host, (*server)->port()));
  // The line that `parley launch`, and a person, waits for.
  std::cout << task << " listening on " << host << ":" << (*server)->port() << std::endl;

  bool done = false;
  absl::Time next_look = absl::InfinitePast();
  bool stopped = false;  // by an operator
  while (g_signal == 0 && !stopped && !(done && !FLAGS_keep_serving)) {
    stopped = (*server)->IsStopping();
    if (registration != nullptr && !registration->status().ok()) {
      return fail(registration->status());
    }
    if (done) {
      absl::SleepFor(absl::Milliseconds(100));
      continue;
    }
    if ((*server)->IsSurplus()) {
      LOG(INFO) << task << ": the job goes on without this task: there are to be fewer ps tasks, "
                << "and others have all it had";
      break;
    }
    const bool standby_done = (*server)->IsStandbyDone();
    done = (*server)->WaitUntilDone(absl::Milliseconds(100));
    if (const absl::Time now = Env::Posix()->Now(); done || now >= next_look) {
      next_look = now + absl::Seconds(1);  // it looks at every block
      if (const auto numbers = (*server)->Numbers(); numbers.has_value()) {
        SetLogStep(numbers->min_version);
        if (FLAGS_report_progress) {
          std::cout << "progress: round " << numbers->min_version << std::endl;
        }
      }
    }
    if (const absl::Status log = (*server)->durability_status(); !log.ok()) {
      (*server)->Stop(absl::Seconds(1));  // who waits hears why
      return fail(log);
    }
    if (!done) continue;
    if (!standby_done) {
      done = false;
      absl::SleepFor(absl::Milliseconds(10));
      continue;
    }
    LOG(INFO) << task << ": the job is done";
    (*server)->ForgetJob();
  }
  if (stopped && g_signal == 0) {
    return Drain(task, server->get(), drain_timeout, /*restartable=*/false);
  }
  if (g_signal == 0) {
    // The last worker's farewell is still being answered.
    (*server)->Stop(absl::Seconds(2));
    return 0;
  }
  if (g_signal == SIGTERM) {
    const Departure departure =
        takes_over ? Depart(task, server->get(), drain_timeout) : Departure::kAlone;
    if (departure == Departure::kAlone) {
      return Drain(task, server->get(), drain_timeout, /*restartable=*/writes && !takes_over);
    }
    LOG_IF(WARNING, departure == Departure::kLate)
        << task << ": stopping, though after " << absl::FormatDuration(drain_timeout)
        << " other tasks do not have all that is here";
    (*server)->Stop(absl::Seconds(2));
    return departure == Departure::kGone ? 0 : 128 + g_signal;
  }
  return 128 + g_signal;
}

}  // namespace

int RunPsProgram(int argc, char** argv, ServerOptions options) {
  StartLog(argv[0]);
  KeepFreedMemory();
  return Serve(argc, argv, std::move(options));
}

}  // namespace parley
