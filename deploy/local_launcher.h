#ifndef PARLEY_DEPLOY_LOCAL_LAUNCHER_H_
#define PARLEY_DEPLOY_LOCAL_LAUNCHER_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace parley {

struct LaunchOptions {
  int ps = 2;
  int workers = 2;
  std::string ps_program;  // paths of the task programs
  std::string worker_program;
  std::vector<std::string> ps_flags;  // besides those that place a task in its cluster
  std::vector<std::string> worker_flags;
  bool terminal = false;  // whether the output goes to a person's terminal: the chief's progress is
                          // drawn in place
  bool colors = false;
  absl::Duration startup_timeout = absl::Seconds(30);  // for the ps tasks to listen
  absl::Duration stop_timeout = absl::Seconds(5);      // from SIGINT to SIGKILL
  absl::Duration drain_timeout = absl::Seconds(30);    // from SIGTERM to SIGKILL
  absl::Duration ps_exit_timeout =
      absl::Seconds(15);  // for the ps tasks to end when all workers have
};

// Runs a whole job on this machine: starts the ps tasks on free ports, waits for each to say "ps:N
// listening on HOST:PORT", starts the workers, prints the tasks' lines to `out` behind their names,
// and waits for all to end.
//
// Of worker:0, lines that begin with "progress: " are the job's progress, drawn in place on a
// terminal, and lines that begin with "| " are printed as they are.
//
// Returns the exit code: 0 when all tasks ended well; 1 when one failed: then all others are
// stopped, and the last line on `out` says who failed and how; 128 + n when signal n (SIGINT,
// SIGTERM) asked to stop: SIGINT, like a failure, interrupts the tasks, SIGTERM lets them end the
// job in order. No task outlives the call, nor the process, however it ends. Call it in a
// process with one thread; it takes over SIGINT, SIGTERM and SIGCHLD.
int LaunchLocally(const LaunchOptions& options, std::ostream& out);

}  // namespace parley

#endif  // PARLEY_DEPLOY_LOCAL_LAUNCHER_H_
