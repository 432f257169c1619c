#ifndef PARLEY_NET_CHECK_TABLE_H_
#define PARLEY_NET_CHECK_TABLE_H_

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace parley {

// Checks the tables of `spec` and fills in what they leave to a default: the number of virtual
// shards. INVALID_ARGUMENT that names the job, the table, the field, its value and the allowed
// ones.
absl::Status CheckTables(v1::JobSpec* spec);

}  // namespace parley

#endif  // PARLEY_NET_CHECK_TABLE_H_
