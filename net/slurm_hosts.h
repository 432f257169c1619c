#ifndef PARLEY_NET_SLURM_HOSTS_H_
#define PARLEY_NET_SLURM_HOSTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parley {

// On which host each task of a Slurm step runs, by rank, from what srun sets in the environment:
// `node_list` (SLURM_STEP_NODELIST), like "gpu[01-03,7],login", and `tasks_per_node`
// (SLURM_STEP_TASKS_PER_NODE), like "2(x3),1", for tasks in blocks, as srun distributes them unless
// it is told otherwise. INVALID_ARGUMENT, naming the variable, for a list that is none, that has
// other counts, or more than 65536 hosts or tasks.
absl::StatusOr<std::vector<std::string>> SlurmHosts(const std::string& node_list,
                                                    const std::string& tasks_per_node);

}  // namespace parley

#endif  // PARLEY_NET_SLURM_HOSTS_H_
