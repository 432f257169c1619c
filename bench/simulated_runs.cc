#include "bench/simulated_runs.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace parley {
namespace {

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

}  // namespace

SimulatedResult RunSimulatedSeed(uint64_t seed) {
  SimulatedResult result;
  int ends[2];
  if (pipe(ends) != 0) {
    result.violation = "no pipe";
    return result;
  }
  const pid_t child = fork();
  if (child < 0) {
    result.violation = "no process";
    return result;
  }
  if (child == 0) {
    close(ends[0]);
    RunSimulatedCluster(SimulatedScenario(seed), [&](const SimulatedResult& made) {
      const std::string text = ToText(made);
      for (size_t sent = 0; sent < text.size();) {
        const ssize_t more = write(ends[1], text.data() + sent, text.size() - sent);
        if (more <= 0) _exit(1);
        sent += static_cast<size_t>(more);
      }
    });
  }
  close(ends[1]);
  std::string text;
  const absl::Time deadline = absl::Now() + kLongestSimulatedRun;
  bool late = false;
  for (;;) {
    pollfd waits = {ends[0], POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0 || poll(&waits, 1, static_cast<int>(left)) == 0) {
      late = true;
      kill(child, SIGKILL);
      break;
    }
    char bytes[4096];
    const ssize_t got = read(ends[0], bytes, sizeof(bytes));
    if (got <= 0) break;
    text.append(bytes, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (late) {
    result.violation =
        absl::StrCat("it has not ended after ", absl::FormatDuration(kLongestSimulatedRun));
  } else if (WIFSIGNALED(status)) {
    result.violation = absl::StrCat("it died of signal ", WTERMSIG(status));
  } else if (!FromText(text, &result)) {
    result.violation = absl::StrCat("it ended with ", WEXITSTATUS(status), " and said: ", text);
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
