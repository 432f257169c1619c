#ifndef PARLEY_DEPLOY_LAUNCHER_H_
#define PARLEY_DEPLOY_LAUNCHER_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace parley {

// Where a task runs.
struct TaskPlace {
  std::string host;     // as ssh understands it; empty: this machine
  std::string address;  // of the host, for other tasks
};

struct LaunchOptions {
  std::vector<TaskPlace> ps = {{}, {}};
  std::vector<TaskPlace> workers = {{}, {}};
  std::vector<std::string> ssh = {"ssh"};  // the program and its arguments, for other hosts
  std::string ps_program;                  // paths of the task programs
  std::string worker_program;
  std::vector<std::string> ps_flags;  // besides those that place a task in its cluster
  std::vector<std::string> worker_flags;
  // Whether the output goes to a person's terminal: a line for each task is drawn there in place.
  bool terminal = false;
  bool colors = false;
  absl::Duration startup_timeout = absl::Seconds(30);  // for the ps tasks to listen
  absl::Duration stop_timeout = absl::Seconds(5);      // from SIGINT to SIGKILL
  absl::Duration drain_timeout = absl::Seconds(30);    // from SIGTERM to SIGKILL
  absl::Duration ps_exit_timeout =
      absl::Seconds(15);  // for the ps tasks to end when all workers have
};

// Runs a whole job: starts the ps tasks on free ports, waits for each to say "ps:N listening on
// HOST:PORT", starts the workers, prints the tasks' lines to `out` behind their names, and waits
// for all to end. Tasks on other hosts are started over ssh (deploy/remote_command.h), and listen
// on all addresses of theirs.
//
// Lines that begin with "progress: " say how far a task is. On a terminal, where the tasks get
// --report_progress, they are drawn in place; elsewhere those of worker:0, and anyhow its lines
// that begin with "| ", are printed as they are.
//
// When an operator asks the job for more workers (`parley scale`), as a line "ps:N is asked for
// workers: COUNT" says, those that are missing are started, on the workers' hosts in turn.
//
// Returns the exit code: 0 when all tasks ended well; 1 when one failed: then all others are
// stopped, and the last line on `out` says who failed and how; 128 + n when signal n (SIGINT,
// SIGTERM) asked to stop: SIGINT, like a failure, interrupts the tasks, SIGTERM lets them end the
// job in order. No task outlives the call, nor the process, however it ends: those on other hosts
// end when the connection does. Call it in a process with one thread; it takes over SIGINT, SIGTERM
// and SIGCHLD.
int LaunchJob(const LaunchOptions& options, std::ostream& out);

}  // namespace parley

#endif  // PARLEY_DEPLOY_LAUNCHER_H_
