#include "deploy/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/env.h"
#include "deploy/remote_command.h"
#include "deploy/task_board.h"

namespace parley {
namespace {

constexpr char kProgressPrefix[] = "progress: ";
constexpr char kTablePrefix[] = "| ";
constexpr size_t kLongestLine = 64 << 10;
constexpr absl::Duration kDrawInterval = absl::Milliseconds(100);
// For ssh to say that a task that was killed on another host has ended.
constexpr absl::Duration kRemoteKillTimeout = absl::Seconds(3);
constexpr int kSshFailed = 255;

// One process and what it said.
struct Task {
  std::string name;
  bool is_ps = false;
  std::string host;  // empty: this machine; otherwise the process is ssh
  std::string state = "starting";
  std::string progress;
  int input = -1;          // our end of the stdin of ssh, for the names of signals
  pid_t pid = -1;          // also its process group; -1 when it has ended and was waited for
  int output = -1;         // our end of its stdout and stderr; -1 when it is closed
  std::string unfinished;  // the beginning of a line
  std::string last_line;
  std::string address;      // of a ps task that listens
  std::string own_address;  // of its host, where that is another one
  int exit_status = 0;      // as waitpid gives it
};

std::string DescribeExit(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("killed by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)),
                        ")");
  }
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

class Launcher {
 public:
  Launcher(const LaunchOptions& options, std::ostream& out) : options_(options), out_(out) {}

  int Run() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&signals, number);
    sigprocmask(SIG_BLOCK, &signals, &original_mask_);
    signals_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    const int exit_code =
        signals_ < 0 ? Fail(absl::StrCat("signalfd: ", std::strerror(errno))) : RunJob();
    StopAll();
    ClearLive();
    if (!failure_.empty()) out_ << "parley launch: " << failure_ << std::endl;
    close(signals_);
    sigprocmask(SIG_SETMASK, &original_mask_, nullptr);
    return exit_code;
  }

 private:
  int Fail(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
    return 1;
  }

  int RunJob() {
    const std::string ps_hosts = Hosts(options_.ps.size());
    const std::string worker_hosts = Hosts(options_.workers.size());
    for (size_t i = 0; i < options_.ps.size(); ++i) {
      if (!Start(true, i, options_.ps[i], ps_hosts, worker_hosts)) return 1;
    }
    if (const auto code =
            RunUntil(options_.startup_timeout, [&] { return Addresses().has_value(); })) {
      return *code;
    }
    if (!Addresses().has_value()) {
      for (const Task& task : tasks_) {
        if (task.address.empty())
          return Fail(absl::StrCat(task.name, " did not say that it listens"));
      }
    }
    const std::string addresses = *Addresses();
    if (!StartWorkers(options_.workers.size())) return 1;
    ClearLive();
    out_ << "parley status --ps_hosts=" << addresses << " says where it stands" << std::endl;
    if (const auto code =
            RunUntil(absl::InfiniteDuration(), [&] { return AllEnded(/*ps_too=*/false); })) {
      return *code;
    }
    if (const auto code =
            RunUntil(options_.ps_exit_timeout, [&] { return AllEnded(/*ps_too=*/true); })) {
      return *code;
    }
    for (const Task& task : tasks_) {
      if (task.pid > 0) return Fail(absl::StrCat(task.name, " did not end with the job"));
    }
    return 0;
  }

  static std::string Hosts(size_t count) {
    return absl::StrJoin(std::vector<std::string>(count, "localhost:0"), ",");
  }

  // Where the ps tasks listen, once all do.
  std::optional<std::string> Addresses() const {
    std::vector<std::string> addresses;
    for (const Task& task : tasks_) {
      if (!task.is_ps) continue;
      if (task.address.empty()) return std::nullopt;
      addresses.push_back(task.address);
    }
    return absl::StrJoin(addresses, ",");
  }

  // Starts those of so many workers that are not there.
  bool StartWorkers(size_t count) {
    const std::string worker_hosts = Hosts(count);
    for (size_t i = 0; i < count; ++i) {
      const std::string name = absl::StrCat("worker:", i);
      const auto known = std::find_if(tasks_.begin(), tasks_.end(),
                                      [&](const Task& task) { return task.name == name; });
      if (known != tasks_.end() && known->pid > 0) continue;
      if (known != tasks_.end()) tasks_.erase(known);  // it was out of the job for a while
      const TaskPlace& place = options_.workers[i % options_.workers.size()];
      if (!Start(false, i, place, *Addresses(), worker_hosts)) return false;
    }
    return true;
  }

  bool AllEnded(bool ps_too) const {
    return std::all_of(tasks_.begin(), tasks_.end(),
                       [&](const Task& task) { return task.pid < 0 || (task.is_ps && !ps_too); });
  }

  std::vector<std::string> CommandOf(bool is_ps, size_t index, const TaskPlace& place,
                                     const std::string& ps_hosts,
                                     const std::string& worker_hosts) const {
    std::vector<std::string> words = {is_ps ? options_.ps_program : options_.worker_program,
                                      "--ps_hosts=" + ps_hosts, "--worker_hosts=" + worker_hosts,
                                      absl::StrCat("--task_index=", index)};
    if (options_.terminal) words.push_back("--report_progress");
    if (is_ps && !place.host.empty()) words.push_back("--listen=0.0.0.0:0");
    const std::vector<std::string>& flags = is_ps ? options_.ps_flags : options_.worker_flags;
    words.insert(words.end(), flags.begin(), flags.end());
    if (place.host.empty()) return words;
    char folder[PATH_MAX] = "/";
    return RemoteCommand(options_.ssh, place.host,
                         getcwd(folder, sizeof(folder)) == nullptr ? "/" : folder, words);
  }

  // Whether ssh is still there for a task.
  bool AnyRemote() const {
    return std::any_of(tasks_.begin(), tasks_.end(),
                       [](const Task& task) { return task.pid > 0 && !task.host.empty(); });
  }

  bool Start(bool is_ps, size_t index, const TaskPlace& place, const std::string& ps_hosts,
             const std::string& worker_hosts) {
    const std::string name = absl::StrCat(is_ps ? "ps:" : "worker:", index);
    std::vector<std::string> words = CommandOf(is_ps, index, place, ps_hosts, worker_hosts);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);

    int output[2];
    int input[2] = {-1, -1};
    const bool remote = !place.host.empty();
    // A socket: writing to it when ssh has gone raises no signal.
    if (pipe2(output, O_CLOEXEC) != 0 ||
        (remote && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) != 0)) {
      Fail(absl::StrCat("cannot start ", name, ": ", std::strerror(errno)));
      return false;
    }
    const pid_t launcher = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      setpgid(0, 0);
      // A task dies with the launcher, even when that is killed.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != launcher) _exit(127);
      sigprocmask(SIG_SETMASK, &original_mask_, nullptr);
      dup2(output[1], STDOUT_FILENO);
      dup2(output[1], STDERR_FILENO);
      const int stdin_end = remote ? input[1] : open("/dev/null", O_RDONLY);
      if (stdin_end >= 0) dup2(stdin_end, STDIN_FILENO);
      unsetenv("TF_CONFIG");  // it may describe another cluster
      execvp(argv[0], argv.data());
      dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], std::strerror(errno));
      _exit(127);
    }
    close(output[1]);
    if (remote) close(input[1]);
    if (pid < 0) {
      close(output[0]);
      if (remote) close(input[0]);
      Fail(absl::StrCat("cannot start ", name, ": ", std::strerror(errno)));
      return false;
    }
    setpgid(pid, pid);  // the child does it too; whoever is first
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    Task task;
    task.name = name;
    task.is_ps = is_ps;
    task.host = place.host;
    task.own_address = place.address;
    task.input = input[0];
    task.pid = pid;
    task.output = output[0];
    tasks_.push_back(std::move(task));
    return true;
  }

  // Handles events until done() or, after `timeout`, returns nothing; or returns the exit code when
  // the job must stop.
  template <typename Done>
  std::optional<int> RunUntil(absl::Duration timeout, Done done) {
    const absl::Time deadline = Env::Posix()->Now() + timeout;
    while (!done()) {
      const absl::Duration left = deadline - Env::Posix()->Now();
      if (left <= absl::ZeroDuration()) return std::nullopt;
      HandleEvents(std::min(left, absl::Seconds(60)));
      if (const size_t asked = std::exchange(workers_asked_, 0); asked > 0) StartWorkers(asked);
      Draw(/*now=*/false);
      if (stop_signal_ != 0) return 128 + stop_signal_;
      if (!failure_.empty()) return 1;
    }
    return std::nullopt;
  }

  void HandleEvents(absl::Duration timeout) {
    if (undrawn_) timeout = std::min(timeout, kDrawInterval);
    std::vector<pollfd> polled = {{signals_, POLLIN, 0}};
    std::vector<Task*> polled_tasks = {nullptr};
    for (Task& task : tasks_) {
      if (task.output < 0) continue;
      polled.push_back({task.output, POLLIN, 0});
      polled_tasks.push_back(&task);
    }
    const int milliseconds =
        static_cast<int>(absl::ToInt64Milliseconds(timeout + absl::Milliseconds(1)));
    if (poll(polled.data(), polled.size(), milliseconds) <= 0) return;
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents != 0) ReadOutput(polled_tasks[i]);
    }
    if (polled[0].revents != 0) ReadSignals();
  }

  void ReadSignals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      if (info.ssi_signo != SIGCHLD && stop_signal_ == 0)
        stop_signal_ = static_cast<int>(info.ssi_signo);
    }
    for (Task& task : tasks_) Reap(&task);
  }

  void Reap(Task* task) {
    if (task->pid < 0 || waitpid(task->pid, &task->exit_status, WNOHANG) != task->pid) return;
    // Whatever it may have started goes with it.
    kill(-task->pid, SIGKILL);
    task->pid = -1;
    CloseInput(task);
    ReadOutput(task);
    SetState(task, task->exit_status == 0 ? "done" : "failed");
    if (task->exit_status == 0 || stopping_ || stop_signal_ != 0) return;
    const std::string last =
        task->last_line.empty() ? "" : absl::StrCat("; its last line: ", task->last_line);
    if (task->host.empty()) {
      Fail(absl::StrCat(task->name, " failed: ", DescribeExit(task->exit_status), last));
    } else if (WIFEXITED(task->exit_status) && WEXITSTATUS(task->exit_status) == kSshFailed) {
      Fail(absl::StrCat(task->name, " on ", task->host,
                        " failed: ssh did, or a signal ended the task", last));
    } else {
      Fail(absl::StrCat(task->name, " on ", task->host,
                        " failed: ", DescribeExit(task->exit_status), last));
    }
  }

  void SetState(Task* task, const char* state) {
    task->state = state;
    undrawn_ = true;
  }

  static void CloseInput(Task* task) {
    if (task->input >= 0) close(task->input);
    task->input = -1;
  }

  // To the task itself, wherever it runs.
  static void Signal(Task* task, int number) {
    if (task->pid <= 0) return;
    if (task->host.empty()) {
      kill(-task->pid, number);
    } else if (number == SIGKILL) {
      CloseInput(task);
    } else {
      const std::string line = absl::StrCat(number == SIGINT    ? "INT"
                                            : number == SIGTERM ? "TERM"
                                                                : "CONT",
                                            "\n");
      send(task->input, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }

  void ReadOutput(Task* task) {
    char bytes[1 << 14];
    while (task->output >= 0) {
      const ssize_t got = read(task->output, bytes, sizeof(bytes));
      if (got > 0) {
        TakeBytes(task, absl::string_view(bytes, static_cast<size_t>(got)));
      } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        if (!task->unfinished.empty()) TakeLine(task, std::exchange(task->unfinished, ""));
        close(task->output);
        task->output = -1;
      } else if (errno == EAGAIN) {
        return;
      }
    }
  }

  void TakeBytes(Task* task, absl::string_view bytes) {
    for (;;) {
      const size_t end = bytes.find('\n');
      absl::StrAppend(&task->unfinished, bytes.substr(0, end));
      if (end == absl::string_view::npos && task->unfinished.size() < kLongestLine) return;
      TakeLine(task, std::exchange(task->unfinished, ""));
      if (end == absl::string_view::npos) return;
      bytes.remove_prefix(end + 1);
    }
  }

  void TakeLine(Task* task, std::string line) {
    if (task->is_ps && task->address.empty()) {
      const std::string ready = absl::StrCat(task->name, " listening on ");
      if (absl::StartsWith(line, ready)) {
        task->address = line.substr(ready.size());
        if (!task->host.empty()) {
          task->address =
              absl::StrCat(task->own_address, task->address.substr(task->address.rfind(':')));
        }
        SetState(task, "serving");
      }
    }
    if (task->is_ps) {
      absl::string_view count = line;
      size_t asked = 0;
      const std::string prefix = absl::StrCat(task->name, " is asked for workers: ");
      if (absl::ConsumePrefix(&count, prefix) && absl::SimpleAtoi(count, &asked)) {
        workers_asked_ = asked;
      }
    }
    if (!line.empty()) task->last_line = line;
    const bool progress = absl::StartsWith(line, kProgressPrefix);
    if (progress && options_.terminal) {
      task->progress = line.substr(std::strlen(kProgressPrefix));
      SetState(task, task->is_ps ? "serving" : "training");
      return;
    }
    ClearLive();
    const bool chief = task->name == "worker:0";
    if (chief && (progress || absl::StartsWith(line, kTablePrefix))) {
      out_ << line << std::endl;
    } else if (options_.colors) {
      out_ << (task->is_ps ? "\033[36m[" : "\033[32m[") << task->name << "]\033[0m " << line
           << std::endl;
    } else {
      out_ << "[" << task->name << "] " << line << std::endl;
    }
  }

  // Draws the tasks in place, unless nothing has changed, or, but `now`, they were just drawn.
  void Draw(bool now) {
    const absl::Time time = Env::Posix()->Now();
    if (!options_.terminal || !undrawn_ || (!now && time < last_drawn_ + kDrawInterval)) return;
    ClearLive();
    last_drawn_ = time;
    undrawn_ = false;
    std::vector<BoardTask> tasks;
    for (const Task& task : tasks_) tasks.push_back({task.name, task.state, task.progress});
    winsize size = {};
    BoardSize board_size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
      board_size = {size.ws_row, size.ws_col};
    }
    const std::string board = DrawBoard(std::move(tasks), board_size, options_.colors);
    live_lines_ = static_cast<int>(std::count(board.begin(), board.end(), '\n'));
    out_ << board << std::flush;
  }

  void ClearLive() {
    if (live_lines_ == 0) return;
    out_ << "\033[" << live_lines_ << "A\r\033[J" << std::flush;
    live_lines_ = 0;
    undrawn_ = true;
  }

  // SIGTERM where that was asked for, otherwise SIGINT, and SIGKILL to those that do not heed it.
  void StopAll() {
    stopping_ = true;
    const auto signal_all = [&](int number) {
      for (Task& task : tasks_) Signal(&task, number);
    };
    const bool drain = stop_signal_ == SIGTERM;
    const absl::Time deadline =
        Env::Posix()->Now() + (drain ? options_.drain_timeout : options_.stop_timeout);
    signal_all(drain ? SIGTERM : SIGINT);
    signal_all(SIGCONT);  // a stopped one cannot heed it
    while (!AllEnded(/*ps_too=*/true) && Env::Posix()->Now() < deadline) {
      HandleEvents(deadline - Env::Posix()->Now());
    }
    signal_all(SIGKILL);
    const absl::Time told = Env::Posix()->Now() + kRemoteKillTimeout;
    while (AnyRemote() && Env::Posix()->Now() < told) {
      HandleEvents(told - Env::Posix()->Now());
    }
    for (Task& task : tasks_) {
      if (task.pid > 0) {
        kill(-task.pid, SIGKILL);
        waitpid(task.pid, &task.exit_status, 0);
      }
      task.pid = -1;
      CloseInput(&task);
      if (task.output >= 0) {
        ReadOutput(&task);
        if (task.output >= 0) close(task.output);
        task.output = -1;
      }
    }
  }

  const LaunchOptions& options_;
  std::ostream& out_;
  std::vector<Task> tasks_;
  sigset_t original_mask_;
  int signals_ = -1;
  int stop_signal_ = 0;
  bool stopping_ = false;
  size_t workers_asked_ = 0;  // by an operator, and not looked at; 0: nobody has
  int live_lines_ = 0;        // that stand on the terminal, above the cursor
  bool undrawn_ = false;      // something has changed since
  absl::Time last_drawn_ = absl::InfinitePast();
  std::string failure_;
};

}  // namespace

int LaunchJob(const LaunchOptions& options, std::ostream& out) {
  return Launcher(options, out).Run();
}

}  // namespace parley
