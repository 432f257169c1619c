#ifndef PARLEY_DEPLOY_TRACE_MERGE_H_
#define PARLEY_DEPLOY_TRACE_MERGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/env.h"

namespace parley {

// What one request says of two clocks, in microseconds: when the worker sent it and had its answer,
// by its clock, and when the shard got it and answered, by its own.
struct RoundTrip {
  double sent;
  double came;
  double answered;
  double received;
};

struct ClockOffset {
  double offset =
      0;             // what is to be added to a time of the worker's clock to be one of the shard's
  double error = 0;  // at most, up or down
};

// How far two clocks are apart. Since nothing is received before it was sent, each round trip says
// that the offset is in [answered - received, came - sent]; it is in the intersection of all these,
// whose middle is returned. This is how NTP finds the time from several servers (the interval of a
// round trip, and their intersection: RFC 5905, sections 8 and 11.2.1; K. Marzullo, S. Owicki,
// "Maintaining the time in a distributed system", 1983). Where clocks drift so far that nothing is
// in all intervals, the error is half of the gap between them plus the shortest one. Of no round
// trips the error is infinite. Pure.
ClockOffset EstimateOffset(const std::vector<RoundTrip>& trips);

// Puts the traces of a job's tasks (base/trace.h), all files in `folder` that end in ".trace.json",
// together: one JSON text of Chrome's trace events, with a process for each task, all times by the
// clock of the first worker that is there and from the first span on, and an arrow from each
// request of a worker to its handling by a shard. Tasks of one machine read one clock; between
// others it is estimated from their requests, over as many tasks as are between them: "otherData"
// says for each task "offset_us", what was added, and "error_us", how far off that may be.
// NOT_FOUND: there is no such file. INVALID_ARGUMENT names one that is none.
absl::StatusOr<std::string> MergeTraces(Env* env, const std::string& folder);

}  // namespace parley

#endif  // PARLEY_DEPLOY_TRACE_MERGE_H_
