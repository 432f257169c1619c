#ifndef PARLEY_DEPLOY_SCALE_H_
#define PARLEY_DEPLOY_SCALE_H_

#include <string>
#include <vector>

namespace parley {

// parley scale, as the commands of deploy/operator_commands.h: 0 when the job has as many workers,
// or ps tasks, as it is to have.
int ScaleCommand(const std::vector<std::string>& arguments);

}  // namespace parley

#endif  // PARLEY_DEPLOY_SCALE_H_
