#ifndef PARLEY_NET_LAUNCH_ENVIRONMENT_H_
#define PARLEY_NET_LAUNCH_ENVIRONMENT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace parley {

// Variables of a process, by name.
using Environment = absl::flat_hash_map<std::string, std::string>;

// What a launcher told each of its processes.
struct LaunchEnvironment {
  int rank = 0;
  int size = 0;
  std::vector<std::string> hosts;  // by rank; empty when the launcher does not say
  std::string rank_variable;       // for errors: "OMPI_COMM_WORLD_RANK"
  std::string size_variable;
};

// From the variables of Open MPI's mpirun (OMPI_COMM_WORLD_*), of MPICH's and others (PMI_*,
// MPI_LOCALNRANKS), or of Slurm's srun (SLURM_PROCID, SLURM_STEP_*), whichever is first: an mpirun
// may itself have been started by srun. nullopt when there are none. mpirun does not say where
// other processes are; hosts are known when all are on one, and under srun, for tasks in blocks.
// INVALID_ARGUMENT names the variable that makes no sense.
absl::StatusOr<std::optional<LaunchEnvironment>> ReadLaunchEnvironment(
    const Environment& environment);

}  // namespace parley

#endif  // PARLEY_NET_LAUNCH_ENVIRONMENT_H_
