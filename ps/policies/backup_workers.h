#ifndef PARLEY_PS_POLICIES_BACKUP_WORKERS_H_
#define PARLEY_PS_POLICIES_BACKUP_WORKERS_H_

#include <memory>

#include "ps/policy.h"

namespace parley {

// Synchronous rounds with backup workers (Chen et al., "Revisiting distributed synchronous SGD",
// 2016): a round is `replicas` gradients, or one from each worker that is awaited where these are
// fewer, all computed from the round's own version. One that comes when its round is closed is
// late. A worker whose gradient is in the open round waits for its end; one whose gradient was late
// goes on from the newest values, and from the step of the furthest worker: its own count of steps
// would make it the last to finish.
//
// needs_every_worker: `replicas` is the number of workers, and one that fails fails the job.
// awaits_silent: as of NewSynchronous.
std::unique_ptr<Policy> NewBackupWorkers(int replicas, bool needs_every_worker = false,
                                         bool awaits_silent = false);

}  // namespace parley

#endif  // PARLEY_PS_POLICIES_BACKUP_WORKERS_H_
