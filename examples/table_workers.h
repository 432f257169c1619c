#ifndef PARLEY_EXAMPLES_TABLE_WORKERS_H_
#define PARLEY_EXAMPLES_TABLE_WORKERS_H_

#include <functional>

#include "absl/status/status.h"
#include "proto/job.pb.h"
#include "worker/client.h"

namespace parley {

// What the examples that have nothing but tables share: a whole job in this process, its shards,
// and each worker on a thread of its own, which calls `work` with its client, and leaves. Returns
// the first error of a worker.
absl::Status RunTableWorkers(const v1::JobSpec& spec,
                             const std::function<absl::Status(Client*)>& work);

}  // namespace parley

#endif  // PARLEY_EXAMPLES_TABLE_WORKERS_H_
