#ifndef PARLEY_PS_SPEC_TEXT_H_
#define PARLEY_PS_SPEC_TEXT_H_

#include <ostream>
#include <string>

#include "proto/job.pb.h"

namespace parley {

// A job's spec for people.

// Its optimizer, policy, workers and shards, a line each, but the last two in one; ends with a
// newline.
std::string DescribeJob(const v1::JobSpec& spec);

// Its parameters with their shapes, dtypes and bytes, its tables, and DescribeJob.
void PrintSpec(const v1::JobSpec& spec, std::ostream& out);

}  // namespace parley

#endif  // PARLEY_PS_SPEC_TEXT_H_
