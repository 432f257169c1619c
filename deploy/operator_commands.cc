#include "deploy/operator_commands.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/flags.h"
#include "deploy/job_flags.h"
#include "deploy/job_text.h"
#include "gflags/gflags.h"
#include "net/job_link.h"
#include "ps/spec_text.h"

DEFINE_bool(json, false, "One JSON object, for programs.");
DEFINE_string(interval, "2s", "How often to look.");
DEFINE_int32(count, 0, "How often in all; 0: until the job ends.");
DEFINE_string(wait, "60s", "How long to wait for it to be done.");

namespace parley {
namespace {

using Arguments = std::vector<std::string>;

constexpr absl::Duration kBetweenLooks = absl::Milliseconds(200);

FlagGroup WithMore(std::vector<std::string> more) {
  FlagGroup group = JobFlagGroup();
  group.flags.insert(group.flags.end(), more.begin(), more.end());
  return group;
}

CommandLine LineOf(const std::string& command, const std::string& text,
                   std::vector<std::string> more) {
  return {absl::StrCat("parley ", command),
          absl::StrCat("usage: parley ", command, " --ps_hosts=a:1,b:2 [flags]\n", "       parley ",
                       command, " --etcd=e:2379 --job=mine [flags]\n\n", text),
          {WithMore(std::move(more))}};
}

std::unique_ptr<JobLink> LinkOf(const CommandLine& command_line, const Arguments& arguments) {
  ParseFlags(command_line, arguments);
  absl::StatusOr<std::unique_ptr<JobLink>> link = LinkOfFlags();
  if (!link.ok()) ExitWithFlagError(command_line, std::string(link.status().message()));
  return *std::move(link);
}

absl::Duration PositiveDuration(const CommandLine& command_line, const std::string& flag,
                                const std::string& value) {
  absl::Duration duration;
  if (absl::ParseDuration(value, &duration) && duration > absl::ZeroDuration() &&
      duration <= absl::Hours(24 * 365)) {
    return duration;
  }
  ExitWithFlagError(command_line,
                    absl::StrCat("--", flag, "=", value, " is not a duration, like 2s"));
}

int Fail(const CommandLine& command_line, absl::string_view message) {
  std::cerr << command_line.program << ": " << message << std::endl;
  return 1;
}

bool OnTerminal() { return isatty(STDOUT_FILENO) != 0; }
bool InColors() { return OnTerminal() && std::getenv("NO_COLOR") == nullptr; }

// Why nothing can be asked: the first shard that did not answer, or that no job is there.
absl::Status CheckAllDeclared(const JobView& view) {
  for (const ShardView& shard : view.shards) {
    if (!shard.status.ok()) return shard.status;
    if (shard.declared()) continue;
    return absl::NotFoundError(absl::StrCat("ps:", shard.shard, ": no job is declared here"));
  }
  return absl::OkStatus();
}

// The checkpoint with this ticket; DEADLINE_EXCEEDED when it does not come.
absl::StatusOr<v1::CheckpointReport> AwaitCheckpoint(JobLink* link, uint64_t ticket,
                                                     absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  for (;;) {
    const absl::StatusOr<JobView> view = link->Look();
    if (!view.ok()) return view.status();
    for (const ShardView& shard : view->shards) {
      if (shard.answer.checkpoint().ticket() == ticket) return shard.answer.checkpoint();
    }
    if (view->declared() == 0) return absl::UnavailableError("the job has ended meanwhile");
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("worker:0, the chief, has made none in ", absl::FormatDuration(wait),
                       ": is its step longer, does it wait for others, or does its program make "
                       "no checkpoints?"));
    }
    absl::SleepFor(kBetweenLooks);
  }
}

// The shards that have not ended: those that are still served, or silent, or looked for. A shard
// that has moved to another task, or came back, does not know that it is to end, and is asked
// again.
std::vector<std::string> StopRest(JobLink* link, const JobView& view) {
  std::vector<std::string> names;
  for (const ShardView& shard : view.shards) {
    if (absl::IsUnavailable(shard.status)) continue;
    const bool stopping = shard.answer.stopping();
    // A task that something has started again has no job.
    if (shard.status.ok() && !shard.declared() && !stopping) continue;
    if (shard.declared() && !stopping) {
      link->Ask(shard.shard, v1::AskRequest::STOP).status().IgnoreError();
    }
    names.push_back(absl::StrCat("ps:", shard.shard, " (", StateOf(shard), ")"));
  }
  return names;
}

// Asks a serving task, which is the only one at its address.
int AskServing(const CommandLine& line, const Arguments& arguments, v1::AskRequest::What what) {
  const std::unique_ptr<JobLink> link = LinkOf(line, arguments);
  const absl::StatusOr<JobView> view = link->Look();
  if (!view.ok()) return Fail(line, view.status().message());
  const ShardView& task = view->shards[0];
  if (!task.status.ok()) return Fail(line, task.status.message());
  if (!task.answer.has_serving()) {
    return Fail(line, absl::StrCat(task.answer.task(), " trains: a parley_serve is to be asked"));
  }
  const absl::StatusOr<v1::AskResponse> asked = link->Ask(task.shard, what);
  if (!asked.ok()) return Fail(line, asked.status().message());
  std::cout << task.answer.task() << " serves step " << asked->step() << std::endl;
  return 0;
}

}  // namespace

int RollbackCommand(const Arguments& arguments) {
  return AskServing(
      LineOf(
          "rollback",
          "Has a parley_serve answer from the checkpoint before the one that it serves, and stay "
          "with it until parley follow. --ps_hosts is its address.",
          {}),
      arguments, v1::AskRequest::ROLL_BACK);
}

int FollowCommand(const Arguments& arguments) {
  return AskServing(
      LineOf("follow",
             "Has a parley_serve that was rolled back follow the newest checkpoint again. "
             "--ps_hosts is its address.",
             {}),
      arguments, v1::AskRequest::FOLLOW);
}

int StatusCommand(const Arguments& arguments) {
  const CommandLine line = LineOf(
      "status",
      "Shows where a running job stands: each shard and each worker. Exits with 0 when every "
      "shard answered, and with 1 otherwise.",
      {"json"});
  const std::unique_ptr<JobLink> link = LinkOf(line, arguments);
  const absl::StatusOr<JobView> view = link->Look();
  if (!view.ok()) return Fail(line, view.status().message());
  if (FLAGS_json) {
    std::cout << FormatJobJson(*view) << std::endl;
  } else {
    std::cout << FormatJobText(*view, nullptr, absl::Now(), InColors()) << std::flush;
  }
  return view->answered() == static_cast<int>(view->shards.size()) ? 0 : 1;
}

int TopCommand(const Arguments& arguments) {
  const CommandLine line =
      LineOf("top",
             "Shows where a running job stands, again and again, and how fast it goes: in place on "
             "a terminal, elsewhere a line each time. Exits with 0 when the job ends.",
             {"interval", "count"});
  const std::unique_ptr<JobLink> link = LinkOf(line, arguments);
  const absl::Duration interval = PositiveDuration(line, "interval", FLAGS_interval);
  if (FLAGS_count < 0) ExitWithFlagError(line, "--count is negative");
  absl::StatusOr<JobView> before = link->Look();
  if (!before.ok()) return Fail(line, before.status().message());
  if (before->answered() == 0) return Fail(line, before->shards[0].status.message());
  for (int shown = 0; FLAGS_count == 0 || shown < FLAGS_count; ++shown) {
    absl::SleepFor(interval);
    absl::StatusOr<JobView> view = link->Look();
    if (!view.ok() || view->answered() == 0) {
      std::cout << "the job has ended, or cannot be reached" << std::endl;
      return 0;
    }
    const JobRates rates = RatesBetween(*before, *view);
    if (OnTerminal()) {
      std::cout << "\033[H\033[2J" << FormatJobText(*view, &rates, absl::Now(), InColors())
                << std::flush;
    } else {
      std::cout << FormatJobLine(*view, rates) << std::endl;
    }
    before = std::move(view);
  }
  return 0;
}

int CheckpointCommand(const Arguments& arguments) {
  const CommandLine line = LineOf(
      "checkpoint",
      "Has a running job make a checkpoint now, and prints where it is. The chief makes it between "
      "two of its steps, one cut over all shards; the job's tasks need --checkpoint_dir.",
      {"wait"});
  const std::unique_ptr<JobLink> link = LinkOf(line, arguments);
  const absl::Duration wait = PositiveDuration(line, "wait", FLAGS_wait);
  const absl::StatusOr<JobView> view = link->Look();
  if (!view.ok()) return Fail(line, view.status().message());
  if (const absl::Status status = CheckAllDeclared(*view); !status.ok()) {
    return Fail(line, status.message());
  }
  const absl::StatusOr<v1::AskResponse> asked = link->Ask(0, v1::AskRequest::CHECKPOINT);
  if (!asked.ok()) return Fail(line, asked.status().message());
  const absl::StatusOr<v1::CheckpointReport> report =
      AwaitCheckpoint(link.get(), asked->ticket(), wait);
  if (!report.ok()) return Fail(line, report.status().message());
  if (report->manifest().empty()) return Fail(line, report->error());
  std::cout << FormatCheckpoint(*report) << std::endl;
  return 0;
}

int StopCommand(const Arguments& arguments) {
  const CommandLine line = LineOf(
      "stop",
      "Ends a running job in order: the chief finishes its step, saves a checkpoint where it "
      "has a folder, all workers leave, and the ps tasks exit, all with 0. Exits with 0 when "
      "the ps tasks have ended.",
      {"wait"});
  const std::unique_ptr<JobLink> link = LinkOf(line, arguments);
  const absl::Duration wait = PositiveDuration(line, "wait", FLAGS_wait);
  absl::StatusOr<JobView> view = link->Look();
  if (!view.ok()) return Fail(line, view.status().message());
  std::vector<std::string> names;
  absl::Status refused;
  for (const ShardView& shard : view->shards) {
    absl::Status status = shard.status;
    if (status.ok()) status = link->Ask(shard.shard, v1::AskRequest::STOP).status();
    refused.Update(status);
    if (!status.ok()) {
      std::cerr << line.program << ": " << status.message() << std::endl;
      continue;
    }
    names.push_back(absl::StrCat("ps:", shard.shard));
  }
  if (names.empty()) return 1;
  std::cout << "asked " << absl::StrJoin(names, ", ") << " to end the job" << std::endl;
  const absl::Time deadline = absl::Now() + wait;
  for (;;) {
    view = link->Look();
    // Where etcd knows no task any more, all have ended.
    if (!view.ok() && !absl::IsNotFound(view.status())) return Fail(line, view.status().message());
    const std::vector<std::string> there =
        view.ok() ? StopRest(link.get(), *view) : std::vector<std::string>();
    if (there.empty()) break;
    if (absl::Now() >= deadline) {
      return Fail(line, absl::StrCat("after ", absl::FormatDuration(wait),
                                     " still there: ", absl::StrJoin(there, ", ")));
    }
    absl::SleepFor(kBetweenLooks);
  }
  std::cout << "the job has ended" << std::endl;
  return refused.ok() ? 0 : 1;
}

absl::Status InspectRunningJob(std::ostream& out) {
  absl::StatusOr<std::unique_ptr<JobLink>> link = LinkOfFlags();
  if (!link.ok()) return link.status();
  const absl::StatusOr<JobView> view = (*link)->Look(/*with_spec=*/true);
  if (!view.ok()) return view.status();
  if (const absl::Status status = CheckAllDeclared(*view); !status.ok()) return status;
  out << "running job " << view->job() << "\n\n";
  PrintSpec(view->shards[0].answer.spec(), out);
  out << "version: " << view->min_version();
  if (view->max_version() != view->min_version()) out << " to " << view->max_version();
  out << "\n";
  return absl::OkStatus();
}

}  // namespace parley
