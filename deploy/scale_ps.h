#ifndef PARLEY_DEPLOY_SCALE_PS_H_
#define PARLEY_DEPLOY_SCALE_PS_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/etcd_client.h"

namespace parley {

// Says in etcd that a running job is to have `tasks` ps tasks, and waits, for at most `wait`, until
// each shard is at home among them (net/shard_homes.h) and those that are to go have gone. Writes
// how far that is to `progress`, a line each time it changes.
//
// Errors, a line each: INVALID_ARGUMENT, a number that cannot be; NOT_FOUND, no such job;
// FAILED_PRECONDITION, a job whose tasks do not take over from each other; ABORTED, the job ended
// meanwhile, or somebody else said otherwise; DEADLINE_EXCEEDED, which names a shard that is still
// elsewhere, or a task that is still there: it goes on all the same. Others: etcd's.
absl::Status ScalePsTasks(EtcdClient* etcd, const std::string& job, int tasks, absl::Duration wait,
                          std::ostream* progress);

}  // namespace parley

#endif  // PARLEY_DEPLOY_SCALE_PS_H_
