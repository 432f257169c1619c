#ifndef PARLEY_DEPLOY_JOB_TEXT_H_
#define PARLEY_DEPLOY_JOB_TEXT_H_

#include <string>

#include "absl/time/time.h"
#include "net/job_view.h"

namespace parley {

// What a person sees of a job: a line about all of it, and a table each of its shards and workers.
// What is wrong stands in red, and what is about to end in yellow, where `colors`. `rates` may be
// null. Ends with a newline. `wall` is the time of day, for the age of the checkpoint.
std::string FormatJobText(const JobView& view, const JobRates* rates, absl::Time wall, bool colors);

// The same in one line, without a newline: "version 1200, 55.2 rounds/s, ...".
std::string FormatJobLine(const JobView& view, const JobRates& rates);

// "checkpoint of step 40 in /runs/1: manifest-40", or why there is none.
std::string FormatCheckpoint(const v1::CheckpointReport& checkpoint);

}  // namespace parley

#endif  // PARLEY_DEPLOY_JOB_TEXT_H_
