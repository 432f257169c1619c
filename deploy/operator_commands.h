#ifndef PARLEY_DEPLOY_OPERATOR_COMMANDS_H_
#define PARLEY_DEPLOY_OPERATOR_COMMANDS_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace parley {

// The commands of parley about a job that runs. Each takes what follows its name, prints to stdout,
// errors to stderr, and returns the exit code; one that makes no sense of its flags exits with 2.

// parley status: 0 when every shard answered, else 1.
int StatusCommand(const std::vector<std::string>& arguments);
// parley top: 0 when the job it saw has ended, or after --count looks; 1 when none was to be seen.
int TopCommand(const std::vector<std::string>& arguments);
// parley checkpoint: 0 when there is one.
int CheckpointCommand(const std::vector<std::string>& arguments);
// parley stop: 0 when all shards' tasks have ended.
int StopCommand(const std::vector<std::string>& arguments);

// parley rollback, and parley follow: 0 when the serving task does.
int RollbackCommand(const std::vector<std::string>& arguments);
int FollowCommand(const std::vector<std::string>& arguments);

// What parley inspect prints of a running job, with the flags of JobFlagGroup.
absl::Status InspectRunningJob(std::ostream& out);

}  // namespace parley

#endif  // PARLEY_DEPLOY_OPERATOR_COMMANDS_H_
