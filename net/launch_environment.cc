#include "net/launch_environment.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/slurm_hosts.h"

namespace parley {
namespace {

// The names that one launcher has.
struct Variables {
  const char* rank;
  const char* size;
  const char* local_size;  // processes on this host; null: not said
};

constexpr int kMostTasks = 65536;

constexpr Variables kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                "OMPI_COMM_WORLD_LOCAL_SIZE"};
constexpr Variables kPmi = {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"};
// Not SLURM_NTASKS, which a batch script has too.
constexpr Variables kSlurm = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", nullptr};

std::string Get(const Environment& environment, const char* name) {
  const auto it = name == nullptr ? environment.end() : environment.find(name);
  return it == environment.end() ? "" : it->second;
}

bool Has(const Environment& environment, const Variables& variables) {
  return !Get(environment, variables.rank).empty() && !Get(environment, variables.size).empty();
}

absl::StatusOr<LaunchEnvironment> ReadRank(const Environment& environment,
                                           const Variables& variables) {
  LaunchEnvironment launch;
  launch.rank_variable = variables.rank;
  launch.size_variable = variables.size;
  const std::string rank = Get(environment, variables.rank);
  const std::string size = Get(environment, variables.size);
  if (!absl::SimpleAtoi(size, &launch.size) || launch.size < 1 || launch.size > kMostTasks) {
    return absl::InvalidArgumentError(
        absl::StrCat(variables.size, "=", size, " is no number of tasks"));
  }
  if (!absl::SimpleAtoi(rank, &launch.rank) || launch.rank < 0 || launch.rank >= launch.size) {
    return absl::InvalidArgumentError(absl::StrCat(variables.rank, "=", rank, " is no rank below ",
                                                   variables.size, "=", launch.size));
  }
  int local_size;
  if (absl::SimpleAtoi(Get(environment, variables.local_size), &local_size) &&
      local_size == launch.size) {
    launch.hosts.assign(static_cast<size_t>(launch.size), "localhost");
  }
  return launch;
}

}  // namespace

absl::StatusOr<std::optional<LaunchEnvironment>> ReadLaunchEnvironment(
    const Environment& environment) {
  const Variables* variables = nullptr;
  for (const Variables* each : {&kOpenMpi, &kPmi, &kSlurm}) {
    if (variables == nullptr && Has(environment, *each)) variables = each;
  }
  if (variables == nullptr) return std::optional<LaunchEnvironment>();
  PARLEY_ASSIGN_OR_RETURN(LaunchEnvironment launch, ReadRank(environment, *variables));
  // Slurm's step is that of the tasks themselves, not of an mpirun's helpers.
  const bool is_step = Get(environment, kSlurm.rank) == absl::StrCat(launch.rank) &&
                       Get(environment, kSlurm.size) == absl::StrCat(launch.size);
  const std::string distribution = Get(environment, "SLURM_DISTRIBUTION");
  const bool in_blocks = distribution.empty() || absl::StartsWith(distribution, "block");
  const std::string nodes = Get(environment, "SLURM_STEP_NODELIST");
  if (launch.hosts.empty() && is_step && in_blocks && !nodes.empty()) {
    PARLEY_ASSIGN_OR_RETURN(launch.hosts,
                            SlurmHosts(nodes, Get(environment, "SLURM_STEP_TASKS_PER_NODE")));
    if (launch.hosts.size() != static_cast<size_t>(launch.size)) {
      return absl::InvalidArgumentError(absl::StrCat("SLURM_STEP_TASKS_PER_NODE counts ",
                                                     launch.hosts.size(), " tasks, but ",
                                                     launch.size_variable, "=", launch.size));
    }
  }
  return std::optional<LaunchEnvironment>(std::move(launch));
}

}  // namespace parley
