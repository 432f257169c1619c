// parley: launches jobs on this machine, looks at running ones and steers them, and looks into
// checkpoints and exports them.

#include <libgen.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/env.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/version.h"
#include "cuda/devices.h"
#include "deploy/completion.h"
#include "deploy/host_list.h"
#include "deploy/job_flags.h"
#include "deploy/launcher.h"
#include "deploy/operator_commands.h"
#include "deploy/remote_command.h"
#include "deploy/scale.h"
#include "deploy/trace_merge.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "ps/checkpoint_export.h"
#include "ps/checkpoint_inspect.h"

DEFINE_int32(ps, 2, "How many ps tasks to start; of scale, how many there are to be.");
DEFINE_int32(workers, 2, "How many worker tasks to start; of scale, how many there are to be.");
DEFINE_string(hosts, "",
              "A file with the hosts to start tasks on, over ssh, as mpirun takes it: `name "
              "[slots=N] [ps|worker]`, a host a line. This machine unless told.");
DEFINE_string(ssh, "ssh",
              "With --hosts: the program, and its arguments, separated by spaces, that reaches a "
              "host without asking for anything.");
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
    "usage: parley launch [--ps=2] [--workers=2] [--hosts=FILE] -- [flags of parley_worker]\n"
    "       parley status --ps_hosts=a:1,b:2\n"
    "       parley top --ps_hosts=a:1,b:2\n"
    "       parley checkpoint --ps_hosts=a:1,b:2\n"
    "       parley scale --workers=6 --ps_hosts=a:1,b:2\n"
    "       parley scale --ps=3 --etcd=e:2379\n"
    "       parley stop --ps_hosts=a:1,b:2\n"
    "       parley rollback --ps_hosts=a:1\n"
    "       parley follow --ps_hosts=a:1\n"
    "       parley inspect CHECKPOINT\n"
    "       parley export CHECKPOINT FOLDER\n"
    "       parley trace FOLDER\n"
    "       parley completion\n"
    "       parley version\n"
    "       parley help\n\n"
    "launch      starts a job, here or on other hosts, and waits for its end\n"
    "status      shows where a running job stands: its shards and workers\n"
    "top         the same again and again, with rates\n"
    "checkpoint  has a running job make a checkpoint\n"
    "scale       gives a running job more workers or ps tasks, or fewer\n"
    "stop        ends a running job in order\n"
    "rollback    has a parley_serve go back to the checkpoint before\n"
    "follow      has it follow the newest again\n"
    "inspect     lists what a checkpoint holds, with a digest by which two runs are compared, or\n"
    "            what a running job holds\n"
    "export      writes a checkpoint's parameters and tables as safetensors files\n"
    "trace       puts together what --profile wrote of a job's tasks, for ui.perfetto.dev\n"
    "completion  prints what bash sources to complete commands and flags\n"
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

// The value of the last `--flag=value` or `--flag value`; empty where there is none.
std::string ValueIn(const Arguments& flags, const std::string& flag) {
  std::string value;
  for (size_t i = 0; i < flags.size(); ++i) {
    if (absl::StartsWith(flags[i], flag + "=")) value = flags[i].substr(flag.size() + 1);
    if (flags[i] == flag && i + 1 < flags.size()) value = flags[i + 1];
  }
  return value;
}

// Puts the traces in `folder` together, into a file there.
absl::Status WriteMergedTrace(const std::string& folder) {
  const absl::StatusOr<std::string> merged = MergeTraces(Env::Posix(), folder);
  if (!merged.ok()) return merged.status();
  const std::string path = absl::StrCat(folder, "/trace.json");
  const absl::Status written = WriteFileAtomically(Env::Posix(), path, *merged);
  if (written.ok()) {
    std::cout << path << " has " << merged->size() << " bytes; ui.perfetto.dev opens it"
              << std::endl;
  }
  return written;
}

// The name or address that ssh uses for `host`, which may be a word of the user's config.
std::string AddressOf(const std::vector<std::string>& ssh, const std::string& host) {
  std::string command;
  for (const std::string& word : ssh) absl::StrAppend(&command, QuoteForShell(word), " ");
  absl::StrAppend(&command, "-G -- ", QuoteForShell(host), " 2>/dev/null");
  std::string address;
  if (FILE* const output = popen(command.c_str(), "r"); output != nullptr) {
    constexpr char kName[] = "hostname ";
    for (char line[512]; fgets(line, sizeof(line), output) != nullptr;) {
      if (!absl::StartsWith(line, kName)) continue;
      address = std::string(absl::StripAsciiWhitespace(line + sizeof(kName) - 1));
    }
    pclose(output);
  }
  return address.empty() ? host.substr(host.find('@') + 1) : address;
}

// Where --hosts has the tasks.
absl::Status PlaceOnHosts(LaunchOptions* options) {
  std::ifstream file(FLAGS_hosts);
  if (!file.is_open() || std::filesystem::is_directory(FLAGS_hosts)) {
    return absl::InvalidArgumentError(absl::StrCat("--hosts: cannot read ", FLAGS_hosts));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const absl::StatusOr<std::vector<Host>> hosts = ParseHosts(text);
  const absl::StatusOr<TaskHosts> placed =
      hosts.ok() ? PlaceTasks(*hosts, FLAGS_ps, FLAGS_workers) : hosts.status();
  if (!placed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--hosts: ", FLAGS_hosts, ": ", placed.status().message()));
  }
  std::map<std::string, std::string> addresses;  // of hosts with ps tasks
  for (size_t i = 0; i < placed->ps.size(); ++i) {
    const std::string& host = placed->ps[i];
    if (addresses.count(host) == 0) addresses[host] = AddressOf(options->ssh, host);
    options->ps[i] = {host, addresses[host]};
  }
  for (size_t i = 0; i < placed->workers.size(); ++i) options->workers[i].host = placed->workers[i];
  return absl::OkStatus();
}

int Launch(const Arguments& arguments) {
  const CommandLine command_line = {
      "parley launch",
      "usage: parley launch [--ps=2] [--workers=2] [--hosts=FILE] -- [flags of parley_worker]\n\n"
      "Starts a job's tasks on this machine, or over ssh on those of --hosts, prints their lines, "
      "and stops all on Ctrl-C or when one fails.",
      {{"The job", {"ps", "workers", "ps_flags"}},
       {"Other hosts", {"hosts", "ssh"}},
       {"Programs", {"ps_program", "worker_program"}}},
      /*max_arguments=*/0,
      /*takes_rest=*/true};
  if (const absl::Status status = ParseCommandLine(command_line, arguments).status();
      absl::StartsWith(status.message(), "unknown flag") &&
      !absl::StrContains(status.message(), "did you mean")) {
    ExitWithFlagError(command_line,
                      absl::StrCat(status.message(),
                                   " of the launcher; those of the workers go behind --, as in "
                                   "`parley launch --workers=2 -- --data_dir=FOLDER`"));
  }
  const ParsedCommandLine parsed = ParseFlags(command_line, arguments);
  if (FLAGS_ps < 1 || FLAGS_ps > 1000) ExitWithFlagError(command_line, "--ps is not in [1, 1000]");
  if (FLAGS_workers < 1 || FLAGS_workers > 1000)
    ExitWithFlagError(command_line, "--workers is not in [1, 1000]");
  LaunchOptions options;
  options.ps.assign(static_cast<size_t>(FLAGS_ps), {});
  options.workers.assign(static_cast<size_t>(FLAGS_workers), {});
  options.ssh = absl::StrSplit(FLAGS_ssh, ' ', absl::SkipEmpty());
  if (options.ssh.empty()) ExitWithFlagError(command_line, "--ssh names no program");
  if (!FLAGS_hosts.empty()) {
    if (const absl::Status placed = PlaceOnHosts(&options); !placed.ok()) {
      ExitWithFlagError(command_line, std::string(placed.message()));
    }
  }
  options.ps_program = FLAGS_ps_program.empty() ? FindProgram("parley_ps", "ps") : FLAGS_ps_program;
  options.worker_program =
      FLAGS_worker_program.empty() ? FindProgram("parley_worker", "worker") : FLAGS_worker_program;
  options.ps_flags = absl::StrSplit(FLAGS_ps_flags, ' ', absl::SkipEmpty());
  options.worker_flags = parsed.rest;
  // The shards save and restore where the chief does, and are traced with the workers.
  for (const char* flag : {"--checkpoint_dir", "--profile", "--profile_steps"}) {
    const std::string value = ValueIn(parsed.rest, flag);
    if (!value.empty()) options.ps_flags.push_back(absl::StrCat(flag, "=", value));
  }
  options.terminal = isatty(STDOUT_FILENO) != 0;
  options.colors = options.terminal && std::getenv("NO_COLOR") == nullptr;
  const int code = LaunchJob(options, std::cout);
  const std::string traces = ValueIn(parsed.rest, "--profile");
  if (!traces.empty()) {
    // Training does not need it.
    if (const absl::Status status = WriteMergedTrace(traces); !status.ok()) {
      std::cout << "parley launch: no trace: " << status.message() << std::endl;
    }
  }
  return code;
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

int MergeTrace(const Arguments& arguments) {
  const CommandLine command_line = {
      "parley trace",
      "usage: parley trace FOLDER\n\n"
      "Puts together what --profile=FOLDER wrote of a job's tasks, into FOLDER/trace.json, which "
      "ui.perfetto.dev opens. What tasks of several machines wrote is to be copied into one folder "
      "before.",
      {},
      /*max_arguments=*/1,
      /*takes_rest=*/false};
  const ParsedCommandLine parsed = ParseFlags(command_line, arguments);
  if (parsed.arguments.empty()) ExitWithFlagError(command_line, "which folder?");
  const absl::Status status = WriteMergedTrace(parsed.arguments[0]);
  if (status.ok()) return 0;
  std::cerr << "parley trace: " << status.message() << std::endl;
  return 1;
}

int Completion(const Arguments& arguments) {
  ParseFlags(
      {"parley completion",
       "usage: source <(parley completion)\n\n"
       "Prints what bash sources to complete the commands and flags of parley, parley_ps and "
       "parley_worker.",
       {}},
      arguments);
  std::cout << BashCompletion() << std::flush;
  return 0;
}

int Version(const Arguments& arguments) {
  ParseFlags({"parley version",
              "usage: parley version\n\nSays which one this is, and which GPUs it sees.",
              {}},
             arguments);
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
  if (command == "scale") return ScaleCommand(rest);
  if (command == "rollback") return RollbackCommand(rest);
  if (command == "follow") return FollowCommand(rest);
  if (command == "stop") return StopCommand(rest);
  if (command == "inspect") return Inspect(rest);
  if (command == "export") return Export(rest);
  if (command == "trace") return MergeTrace(rest);
  if (command == "completion") return Completion(rest);
  if (command == "version" || command == "--version") return Version(rest);
  if (command == "help" || command == "--help" || command == "-h") {
    if (!rest.empty()) return Main({rest[0], "--help"});
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
