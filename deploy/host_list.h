#ifndef PARLEY_DEPLOY_HOST_LIST_H_
#define PARLEY_DEPLOY_HOST_LIST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parley {

// A line of a hosts file.
struct Host {
  std::string name;  // as ssh understands it
  int slots = 1;     // worker tasks that it takes
  bool takes_ps = true;
  bool takes_workers = true;
};

// Reads a hosts file, in the form of Open MPI's: a host a line, `name [slots=N] [ps|worker]`; what
// follows a # is ignored, and so are max_slots=N and empty lines. A host without slots has one; one
// that is named again has those of both lines; `ps` and `worker` say that it takes only these.
// INVALID_ARGUMENT names the line.
absl::StatusOr<std::vector<Host>> ParseHosts(absl::string_view text);

// Which host each task is on.
struct TaskHosts {
  std::vector<std::string> ps;
  std::vector<std::string> workers;
};

// Fills the slots of one host after another with workers, in the order of the file, as mpirun does,
// and deals the ps tasks out, one to each host in turn. INVALID_ARGUMENT: there are too few slots,
// or no host for one of the kinds. Pure.
absl::StatusOr<TaskHosts> PlaceTasks(const std::vector<Host>& hosts, int ps, int workers);

}  // namespace parley

#endif  // PARLEY_DEPLOY_HOST_LIST_H_
