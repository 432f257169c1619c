#include "ps/ps_program.h"

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/flags.h"
#include "base/keep_freed_memory.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/cluster.h"

DEFINE_string(ps_hosts, "",
              "The ps tasks of the job, host:port,host:port,... by index. Port 0 for this task "
              "takes a free one.");
DEFINE_string(worker_hosts, "", "The worker tasks, likewise; worker 0 is the chief.");
DEFINE_int32(
    task_index, -1,
    "Which of the ps tasks this one is. TF_CONFIG in the environment may say all three instead.");
DEFINE_string(
    checkpoint_dir, "",
    "The folder of checkpoints, the same for all tasks. Without it none can be made or restored.");
DEFINE_string(
    durability, "none",
    "disk: every change is on disk, in --durable_dir, before it is acknowledged, and a task that "
    "is started again goes on from there. none: it goes on from the last checkpoint.");
DEFINE_string(durable_dir, "",
              "The folder of the logs of --durability=disk; --checkpoint_dir/log unless told.");
DEFINE_bool(keep_serving, false, "Stay when the job is done, instead of exiting.");
DEFINE_string(lease, "10s",
              "After this silence a worker's place may be taken by a newer task with its index.");
DEFINE_int32(threads, 0, "Threads that own the blocks; 0: one for each core, at most 4.");
DEFINE_int32(max_message_mib, 64, "The longest message, in MiB; a longer one is refused.");

namespace parley {
namespace {

CommandLine MakeCommandLine(const std::string& path) {
  const std::string program = path.substr(path.rfind('/') + 1);
  return {program,
          absl::StrCat("usage: ", program,
                       " --ps_hosts=a:1,b:2 --worker_hosts=c:3,d:4 --task_index=0 [flags]\n\n"
                       "Serves one shard of a job's parameters until every worker has left."),
          {{"The cluster", {"ps_hosts", "worker_hosts", "task_index"}},
           {"The shard",
            {"checkpoint_dir", "durability", "durable_dir", "keep_serving", "lease", "threads",
             "max_message_mib"}}}};
}

volatile std::sig_atomic_t g_signal = 0;

void OnSignal(int number) { g_signal = number; }

int Serve(int argc, char** argv, ServerOptions options) {
  const CommandLine command_line = MakeCommandLine(argv[0]);
  ParseFlags(command_line, argc, argv);
  const char* const tf_config = std::getenv("TF_CONFIG");
  const absl::StatusOr<Cluster> cluster = ReadCluster(
      {FLAGS_ps_hosts, FLAGS_worker_hosts, FLAGS_task_index, tf_config == nullptr ? "" : tf_config},
      TaskType::kPs);
  if (!cluster.ok()) ExitWithFlagError(command_line, std::string(cluster.status().message()));
  if (!absl::ParseDuration(FLAGS_lease, &options.shard.lease) ||
      options.shard.lease <= absl::ZeroDuration()) {
    ExitWithFlagError(command_line,
                      absl::StrCat("--lease=", FLAGS_lease, " is not a duration, like 10s"));
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
  options.shard.shard_index = cluster->task_index;
  options.shard.checkpoint_folder = FLAGS_checkpoint_dir;
  options.shard.threads = FLAGS_threads;
  options.address = cluster->ps[cluster->task_index];
  options.grpc.max_message_bytes = FLAGS_max_message_mib << 20;
  const std::string task = absl::StrCat("ps:", cluster->task_index);

  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
  if (!server.ok()) {  // its message names the task
    std::cerr << command_line.program << ": " << server.status().message() << std::endl;
    return 1;
  }
  // The line that `parley launch`, and a person, waits for.
  std::cout << task << " listening on " << options.address.substr(0, options.address.rfind(':'))
            << ":" << (*server)->port() << std::endl;

  bool done = false;
  while (g_signal == 0 && !(done && !FLAGS_keep_serving)) {
    if (done) {
      absl::SleepFor(absl::Milliseconds(100));
      continue;
    }
    done = (*server)->WaitUntilDone(absl::Milliseconds(100));
    if (const absl::Status log = (*server)->log_status(); !log.ok()) {
      (*server)->Stop(absl::Seconds(1));  // who waits hears why
      std::cerr << command_line.program << ": " << log.message() << std::endl;
      return 1;
    }
    if (!done) continue;
    LOG(INFO) << task << ": the job is done";
    (*server)->RemoveLog();
  }
  if (g_signal == 0) {
    // The last worker's farewell is still being answered.
    (*server)->Stop(absl::Seconds(2));
    return 0;
  }
  return 128 + g_signal;
}

}  // namespace

int RunPsProgram(int argc, char** argv, ServerOptions options) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  KeepFreedMemory();
  return Serve(argc, argv, std::move(options));
}

}  // namespace parley
