// parley: launches jobs on this machine, looks at running ones and steers them, and looks into
// checkpoints and exports them.

#include <libgen.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/env.h"
#include "base/flags.h"
#include "base/version.h"
#include "cuda/devices.h"
#include "deploy/job_flags.h"
#include "deploy/local_launcher.h"
#include "deploy/operator_commands.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "ps/checkpoint_export.h"
#include "ps/checkpoint_inspect.h"

DEFINE_int32(ps, 2, "How many ps tasks to start.");
DEFINE_int32(workers, 2, "How many worker tasks to start.");
DEFINE_string(ps_flags, "", "More flags for the ps tasks, separated by spaces.");
DEFINE_string(tables, "",
              "Only these tables, separated by commas; empty: all, and the parameters.");
DEFINE_int64(part_rows, 10000000, "Rows of a table in one file at most.");
DEFINE_string(ps_program, "", "The program of a ps task; empty: parley_ps beside this one.");
DEFINE_string(worker_program, "",
              "The program of a worker task; empty: parley_worker beside this one.");

namespace parley {
namespace {

constexpr char kUsage[] =
    "usage: parley launch [--ps=2] [--workers=2] -- [flags of parley_worker]\n"
    "       parley status --ps_hosts=a:1,b:2\n"
    "       parley top --ps_hosts=a:1,b:2\n"
    "       parley checkpoint --ps_hosts=a:1,b:2\n"
    "       parley stop --ps_hosts=a:1,b:2\n"
    "       parley inspect CHECKPOINT\n"
    "       parley export CHECKPOINT FOLDER\n"
    "       parley version\n"
    "       parley help\n\n"
    "launch      starts a job on this machine and waits for its end\n"
    "status      shows where a running job stands: its shards and workers\n"
    "top         the same again and again, with rates\n"
    "checkpoint  has a running job make a checkpoint\n"
    "stop        ends a running job in order\n"
    "inspect     lists what a checkpoint holds, with a digest by which two runs are compared, or\n"
    "            what a running job holds\n"
    "export      writes a checkpoint's parameters and tables as safetensors files\n"
    "Each has --help.\n";

using Arguments = std::vector<std::string>;

// The program `name`, which stands beside this one when installed and in folder `built_in` where
// Bazel builds it.
std::string FindProgram(const std::string& name, const std::string& built_in) {
  char path[PATH_MAX] = {};
  if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0) return name;
  const std::string folder = dirname(path);
  for (const std::string& candidate :
       {absl::StrCat(folder, "/", name), absl::StrCat(folder, "/../", built_in, "/", name)}) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::StrCat(folder, "/", name);
}

int Launch(const Arguments& arguments) {
  const CommandLine command_line = {
      "parley launch",
      "usage: parley launch [--ps=2] [--workers=2] -- [flags of parley_worker]\n\n"
      "Starts a job's tasks on this machine, prints their lines, and stops all on Ctrl-C or when "
      "one fails.",
      {{"The job", {"ps", "workers", "ps_flags"}}, {"Programs", {"ps_program", "worker_program"}}},
      /*max_arguments=*/0,
      /*takes_rest=*/true};
  const ParsedCommandLine parsed = ParseFlags(command_line, arguments);
  if (FLAGS_ps < 1 || FLAGS_ps > 1000) ExitWithFlagError(command_line, "--ps is not in [1, 1000]");
  if (FLAGS_workers < 1 || FLAGS_workers > 1000)
    ExitWithFlagError(command_line, "--workers is not in [1, 1000]");
  LaunchOptions options;
  options.ps = FLAGS_ps;
  options.workers = FLAGS_workers;
  options.ps_program = FLAGS_ps_program.empty() ? FindProgram("parley_ps", "ps") : FLAGS_ps_program;
  options.worker_program =
      FLAGS_worker_program.empty() ? FindProgram("parley_worker", "worker") : FLAGS_worker_program;
  options.ps_flags = absl::StrSplit(FLAGS_ps_flags, ' ', absl::SkipEmpty());
  options.worker_flags = parsed.rest;
  // The shards save and restore where the chief does.
  for (size_t i = 0; i < parsed.rest.size(); ++i) {
    if (absl::StartsWith(parsed.rest[i], "--checkpoint_dir="))
      options.ps_flags.push_back(parsed.rest[i]);
    if (parsed.rest[i] == "--checkpoint_dir" && i + 1 < parsed.rest.size()) {
      options.ps_flags.push_back(absl::StrCat("--checkpoint_dir=", parsed.rest[i + 1]));
    }
  }
  options.terminal = isatty(STDOUT_FILENO) != 0;
  options.colors = options.terminal && std::getenv("NO_COLOR") == nullptr;
  return LaunchLocally(options, std::cout);
}

int Inspect(const Arguments& arguments) {
  const CommandLine command_line = {"parley inspect",
                                    "usage: parley inspect CHECKPOINT\n"
                                    "       parley inspect --ps_hosts=a:1,b:2\n\n"
                                    "Lists the parameters of a checkpoint, a folder (its newest "
                                    "valid one) or a manifest file, and a digest over all "
                                    "values: two runs that ended with the same bits have the same. "
                                    "Of a running job it lists the parameters.",
                                    {JobFlagGroup()},
                                    /*max_arguments=*/1,
                                    /*takes_rest=*/false};
  const ParsedCommandLine parsed = ParseFlags(command_line, arguments);
  if (parsed.arguments.empty() != HasJobFlags()) {
    ExitWithFlagError(command_line, parsed.arguments.empty() ? "which checkpoint?"
                                                             : "a checkpoint, or a running job?");
  }
  const absl::Status status = HasJobFlags()
                                  ? InspectRunningJob(std::cout)
                                  : InspectCheckpoint(Env::Posix(), parsed.arguments[0], std::cout);
  if (status.ok()) return 0;
  std::cerr << "parley inspect: " << status.message() << std::endl;
  return 1;
}

int Export(const Arguments& arguments) {
  const CommandLine command_line = {
      "parley export",
      "usage: parley export CHECKPOINT FOLDER\n\n"
      "Writes what a checkpoint, a folder (its newest valid one) or a manifest file, holds to "
      "files "
      "in FOLDER, without what optimizers keep: parameters.safetensors, and of each table "
      "NAME-00001-of-00003.safetensors and so on, with tensors \"keys\" and \"rows\".",
      {{"What", {"tables", "part_rows"}}},
      /*max_arguments=*/2,
      /*takes_rest=*/false};
  const ParsedCommandLine parsed = ParseFlags(command_line, arguments);
  if (parsed.arguments.size() < 2) {
    ExitWithFlagError(command_line, "which checkpoint, and to which folder?");
  }
  ExportOptions options;
  options.tables = absl::StrSplit(FLAGS_tables, ',', absl::SkipEmpty());
  options.part_rows = FLAGS_part_rows;
  const absl::Status status =
      ExportCheckpoint(Env::Posix(), parsed.arguments[0], parsed.arguments[1], options, std::cout);
  if (status.ok()) return 0;
  std::cerr << "parley export: " << status.message() << std::endl;
  return 1;
}

int Version() {
  std::cout << "parley " << kVersion << std::endl;
  const absl::StatusOr<std::vector<CudaDevice>> devices = ListCudaDevices();
  if (!devices.ok()) {
    std::cout << "CUDA: " << devices.status().message() << std::endl;
    return 0;
  }
  for (const CudaDevice& device : *devices) {
    std::cout << "CUDA: " << device.name << ", " << (device.memory >> 30) << " GiB" << std::endl;
  }
  return 0;
}

int Main(const Arguments& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const Arguments rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (command == "launch") return Launch(rest);
  if (command == "status") return StatusCommand(rest);
  if (command == "top") return TopCommand(rest);
  if (command == "checkpoint") return CheckpointCommand(rest);
  if (command == "stop") return StopCommand(rest);
  if (command == "inspect") return Inspect(rest);
  if (command == "export") return Export(rest);
  if (command == "version" || command == "--version") return Version();
  if (command == "help" || command == "--help" || command == "-h") {
    std::cout << kUsage;
    return 0;
  }
  std::cerr << "parley: "
            << (command.empty() ? "what to do? "
                                : absl::StrCat("there is no command \"", command, "\"; "))
            << "parley help lists the commands" << std::endl;
  return 2;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  return parley::Main({argv + 1, argv + argc});
}
