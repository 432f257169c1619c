#ifndef PARLEY_WORKER_LOCAL_UPDATE_FLAGS_H_
#define PARLEY_WORKER_LOCAL_UPDATE_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"

namespace parley {

// The flags of the policies under which a worker trains values of its own (worker/local_update.h):
// --exchange_every and --moving_rate. Their names, for --help:
std::vector<std::string> LocalUpdateFlagNames();

// What --policy may name of these: "local_sgd, elastic, geo".
absl::string_view LocalUpdateNames();

// When `name` is one of these: makes `policy` it, with what --optimizer says, `optimizer`, as its
// local one, and `optimizer` what the shards then have. INVALID_ARGUMENT for flags that make no
// sense with `name`, whatever that is: its message names them.
absl::Status LocalUpdateFromFlags(absl::string_view name, v1::Policy* policy,
                                  v1::Optimizer* optimizer);

}  // namespace parley

#endif  // PARLEY_WORKER_LOCAL_UPDATE_FLAGS_H_
