#ifndef PARLEY_DEPLOY_SCALE_WORKERS_H_
#define PARLEY_DEPLOY_SCALE_WORKERS_H_

#include <ostream>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/job_link.h"

namespace parley {

// Asks the job that `link` leads to for `workers` workers, and waits until it has them and no
// others, for at most `wait`; meanwhile says on `out` what is missing. INVALID_ARGUMENT for a
// number that no job may have; NOT_FOUND where no job is declared; DEADLINE_EXCEEDED names what is
// missing then; other errors are those of the shards, which may refuse.
absl::Status ScaleWorkers(JobLink* link, int workers, absl::Duration wait, std::ostream* out);

}  // namespace parley

#endif  // PARLEY_DEPLOY_SCALE_WORKERS_H_
