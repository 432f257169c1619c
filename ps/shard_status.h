#ifndef PARLEY_PS_SHARD_STATUS_H_
#define PARLEY_PS_SHARD_STATUS_H_

#include "proto/parameter_server.pb.h"
#include "ps/shard_numbers.h"

namespace parley {

// Adds `numbers` to an answer of GetStatus: what the wire says of a shard is what its metrics say.
void FillStatus(const ShardNumbers& numbers, v1::GetStatusResponse* response);

}  // namespace parley

#endif  // PARLEY_PS_SHARD_STATUS_H_
