#include "bench/simulated_runs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"

namespace parley {
namespace {

constexpr char kRunnersName[] = "one_simulated_seed";
constexpr int kOrderFd = 3;
constexpr int kResultFd = 4;

struct Order {
  uint64_t seed;
  bool logs;  // to stderr; otherwise to /dev/null, at the same cost
};

// Behind what a run has said, which has no NUL.
struct End {
  char nul;
  int status;  // of waitpid()
};

bool WriteAll(int fd, const void* data, size_t size) {
  for (const char* at = static_cast<const char*>(data); size > 0;) {
    const ssize_t written = write(fd, at, size);
    if (written <= 0) return false;
    at += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

// In the runner's process: gives it the ends of the pipes, an empty environment but for a planted
// bug (base/planted_bug.h), and always the same addresses, on which the order of a hash table's
// elements depends. Does not return.
void BecomeRunner(int orders, int results) {
  // Both numbers may be the other's place.
  const int spare_orders = fcntl(orders, F_DUPFD_CLOEXEC, kResultFd + 1);
  const int spare_results = fcntl(results, F_DUPFD_CLOEXEC, kResultFd + 1);
  if (dup2(spare_orders, kOrderFd) != kOrderFd || dup2(spare_results, kResultFd) != kResultFd) {
    _exit(1);
  }
  personality(ADDR_NO_RANDOMIZE);
  char name[sizeof(kRunnersName)];
  std::memcpy(name, kRunnersName, sizeof(name));
  char* const arguments[] = {name, nullptr};
  const char* const planted = std::getenv("PARLEY_PLANTED_BUG");
  std::string bug = absl::StrCat("PARLEY_PLANTED_BUG=", planted == nullptr ? "" : planted);
  char* const environment[] = {planted == nullptr ? nullptr : &bug[0], nullptr};
  execve("/proc/self/exe", arguments, environment);
  _exit(1);
}

// Lines "key value", the violation last, for it may have lines.
std::string ToText(const SimulatedResult& result) {
  std::string text = absl::StrCat("trace ", result.trace, "\nelapsed ",
                                  absl::ToInt64Nanoseconds(result.elapsed), "\n");
  for (const auto& [what, count] : result.counts)
    absl::StrAppend(&text, "=", what, "=", count, "\n");
  absl::StrAppend(&text, "violation ", result.violation);
  return text;
}

bool FromText(const std::string& text, SimulatedResult* result) {
  const size_t at = text.find("violation ");
  if (at == std::string::npos) return false;
  result->violation = text.substr(at + 10);
  for (absl::string_view line : absl::StrSplit(text.substr(0, at), '\n', absl::SkipEmpty())) {
    int64_t number = 0;
    if (absl::ConsumePrefix(&line, "trace ")) {
      if (!absl::SimpleAtoi(line, &result->trace)) return false;
    } else if (absl::ConsumePrefix(&line, "elapsed ")) {
      if (!absl::SimpleAtoi(line, &number)) return false;
      result->elapsed = absl::Nanoseconds(number);
    } else {
      const std::vector<std::string> parts = absl::StrSplit(line, '=');
      if (parts.size() != 3 || !absl::SimpleAtoi(parts[2], &number)) return false;
      result->counts[parts[1]] = number;
    }
  }
  return true;
}

// This program once more, which runs one seed after another, each in a process of its own, until
// this one ends.
struct Runner {
  Runner() {
    int order_ends[2];
    int result_ends[2];
    if (pipe2(order_ends, O_CLOEXEC) != 0 || pipe2(result_ends, O_CLOEXEC) != 0) return;
    const pid_t child = fork();
    if (child == 0) BecomeRunner(order_ends[0], result_ends[1]);
    close(order_ends[0]);
    close(result_ends[1]);
    orders = order_ends[1];
    results = result_ends[0];
    signal(SIGPIPE, SIG_IGN);
  }
  int orders = -1;
  int results = -1;
};

}  // namespace

void RunSeedsIfToldTo(int argc, char** argv) {
  if (argc != 1 || std::strcmp(argv[0], kRunnersName) != 0) return;
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = google::INFO;
  // This process keeps nothing of a run, so each begins as the first one did.
  for (Order order; read(kOrderFd, &order, sizeof(order)) == sizeof(order);) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(static_cast<unsigned>(absl::ToInt64Seconds(kLongestSimulatedRun)));
      if (!order.logs) dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
      RunSimulatedCluster(SimulatedScenario(order.seed), [&](const SimulatedResult& made) {
        const std::string text = ToText(made);
        if (!WriteAll(kResultFd, text.data(), text.size())) _exit(1);
      });
      _exit(0);
    }
    End end = {0, -1};
    if (child > 0) waitpid(child, &end.status, 0);
    if (!WriteAll(kResultFd, &end, sizeof(end))) break;
  }
  _exit(0);
}

SimulatedResult RunSimulatedSeed(uint64_t seed) {
  static const Runner* const runner = new Runner();
  SimulatedResult result;
  const Order order = {seed, FLAGS_minloglevel == google::INFO};
  std::string text;
  bool ended = WriteAll(runner->orders, &order, sizeof(order));
  while (ended && (text.size() < sizeof(End) || text[text.size() - sizeof(End)] != 0)) {
    char bytes[4096];
    const ssize_t got = read(runner->results, bytes, sizeof(bytes));
    ended = got > 0;
    if (ended) text.append(bytes, static_cast<size_t>(got));
  }
  if (!ended) {
    result.violation = "its process could not be started";
    return result;
  }
  End end;
  std::memcpy(&end, text.data() + text.size() - sizeof(end), sizeof(end));
  text.resize(text.size() - sizeof(end));
  if (WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGALRM) {
    result.violation =
        absl::StrCat("it has not ended after ", absl::FormatDuration(kLongestSimulatedRun));
  } else if (WIFSIGNALED(end.status)) {
    result.violation = absl::StrCat("it died of signal ", WTERMSIG(end.status));
  } else if (!FromText(text, &result)) {
    result.violation = absl::StrCat("it ended with ", WEXITSTATUS(end.status), " and said: ", text);
  }
  return result;
}

SimulatedRuns RunSimulatedSeeds(uint64_t first, int64_t most_violations,
                                const std::function<bool(int64_t runs)>& more) {
  SimulatedRuns all;
  for (uint64_t seed = first; more(all.runs); ++seed) {
    const SimulatedResult result = RunSimulatedSeed(seed);
    ++all.runs;
    all.simulated += result.elapsed;
    all.trace = (all.trace ^ result.trace) * 0x100000001b3;
    for (const auto& [what, count] : result.counts) all.counts[what] += count;
    if (result.violation.empty()) continue;
    all.violated.push_back(seed);
    std::cerr << SimulatedScenario(seed).Describe() << ": " << result.violation
              << "\n  repeat it with: bench/simulate_faults --seed=" << seed << " --seeds=1"
              << std::endl;
    if (static_cast<int64_t>(all.violated.size()) >= most_violations) break;
  }
  return all;
}

}  // namespace parley
