#ifndef PARLEY_PS_SHARD_STATUS_H_
#define PARLEY_PS_SHARD_STATUS_H_

#include "absl/time/time.h"
#include "proto/parameter_server.pb.h"
#include "ps/shard_numbers.h"

namespace parley {

// Adds `numbers` to an answer of GetStatus: what the wire says of a shard is what its metrics say.
void FillStatus(const ShardNumbers& numbers, v1::GetStatusResponse* response);

// Takes the loss and speed that a worker last said out of the answer when it has been silent for
// `lease` or longer: nobody waits for it any more, and what it does now is not known.
void ForgetSilent(absl::Duration lease, v1::GetStatusResponse* response);

}  // namespace parley

#endif  // PARLEY_PS_SHARD_STATUS_H_
