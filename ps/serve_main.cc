// parley_serve: answers pulls from a job's newest checkpoint (ps/serving_task.h).

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/flags.h"
#include "base/metrics_flags.h"
#include "base/task_log.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/grpc_server.h"
#include "ps/serving_task.h"

DEFINE_string(checkpoint_dir, "",
              "The folder of checkpoints, that of the job's tasks or one that they are copied to.");
DEFINE_string(listen, "",
              "Where to listen, host:port; port 0 takes a free one. A free port of this machine's "
              "name unless told.");
DEFINE_string(poll, "1s", "How often to look for a newer checkpoint.");
DEFINE_int32(threads, 0, "Threads that answer; 0: one for each core, at most 4.");
DEFINE_int32(max_message_mib, 64, "The longest message, in MiB; a longer one is refused.");

namespace parley {
namespace {

volatile std::sig_atomic_t g_signal = 0;

void OnSignal(int number) { g_signal = number; }

int Serve(int argc, char** argv) {
  const std::string path = argv[0];
  const std::string program = path.substr(path.rfind('/') + 1);
  const CommandLine command_line = {
      program,
      absl::StrCat("usage: ", program,
                   " --checkpoint_dir=FOLDER --listen=host:port [flags]\n\n"
                   "Answers pulls from the newest checkpoint in a folder, and follows as new ones "
                   "come."),
      {{"What", {"checkpoint_dir", "listen", "poll", "threads", "max_message_mib"}},
       {"Watching it", {"metrics_port", "log_json"}}}};
  ParseFlags(command_line, argc, argv);
  ServingTask::Options options;
  if (FLAGS_checkpoint_dir.empty()) {
    ExitWithFlagError(command_line, "--checkpoint_dir is needed");
  }
  if (!absl::ParseDuration(FLAGS_poll, &options.poll) || options.poll <= absl::ZeroDuration()) {
    ExitWithFlagError(command_line,
                      absl::StrCat("--poll=", FLAGS_poll, " is not a duration, like 1s"));
  }
  if (FLAGS_threads < 0 || FLAGS_threads > 1024) {
    ExitWithFlagError(command_line, "--threads is not in [0, 1024]");
  }
  if (FLAGS_max_message_mib < 1 || FLAGS_max_message_mib > 2047) {
    ExitWithFlagError(command_line, "--max_message_mib is not in [1, 2047]");
  }
  if (const absl::Status status = CheckMetricsFlags(); !status.ok()) {
    ExitWithFlagError(command_line, std::string(status.message()));
  }
  options.checkpoint_folder = FLAGS_checkpoint_dir;
  options.threads = FLAGS_threads;
  SetLogTask(options.task);
  options.metrics = NewTaskMetrics(options.task);
  const std::unique_ptr<MetricsEndpoint> endpoint =
      ServeMetricsOfFlags(options.task, options.metrics);
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(number, &action, nullptr);
  }
  std::string address = FLAGS_listen;
  if (address.empty()) {
    char name[256] = "localhost";
    gethostname(name, sizeof(name) - 1);
    address = absl::StrCat(name, ":0");
  }
  ServingTask serving(options);
  GrpcServerOptions grpc;
  grpc.max_message_bytes = FLAGS_max_message_mib << 20;
  const auto server = GrpcServer::Start(address, &serving, grpc);
  if (!server.ok()) {
    LogFailure(program, std::string(server.status().message()));
    return 1;
  }
  (*server)->SetReady(false);
  std::cout << options.task << " listening on " << address.substr(0, address.rfind(':')) << ":"
            << (*server)->port() << std::endl;
  int64_t step = -1;
  std::string error;
  while (g_signal == 0) {
    const ServingTask::Numbers now = serving.numbers();
    if (now.step != step) {
      step = now.step;
      (*server)->SetReady(true);
      SetLogStep(step);
      LOG(INFO) << options.task << ": serves step " << step;
    }
    if (now.error != error) {
      error = now.error;
      if (!error.empty()) LOG(WARNING) << options.task << ": " << error;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  (*server)->SetReady(false);
  (*server)->Shutdown(absl::Seconds(2));
  return g_signal == SIGTERM ? 0 : 128 + g_signal;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::StartLog(argv[0]);
  return parley::Serve(argc, argv);
}
