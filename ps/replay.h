#ifndef PARLEY_PS_REPLAY_H_
#define PARLEY_PS_REPLAY_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/job.h"
#include "net/payload.h"
#include "net/shared_arena.h"
#include "proto/log.pb.h"
#include "ps/block.h"
#include "ps/norm_rounds.h"
#include "ps/optimizer.h"

namespace parley {

// Makes blocks again what they were, from what a shard wrote down of them (proto/log.proto). The
// bits are those of the shard. Thread safety: that of the block.

// Applies the block's next round. `sums` of the record has as many elements as the round's
// optimizer needs. DATA_LOSS, and no change, when it is not the next, has not as many norms as
// sums, or the payload is not of the block's size; DATA_LOSS, too, when the block then is not what
// the shard's was (Round.state_crc32c).
absl::Status ReplayRound(const Optimizer& optimizer, const v1::LogRecord::Round& round,
                         const Payload& payload, Block* block);

// What `block`, which is `number` in its job, holds now. Called by its owner.
v1::LogRecord::BlockState StateOf(uint32_t number, const Block& block, Payload* payload);

// The block that has this state. DATA_LOSS when it is none of `job`'s, or of another size or
// optimizer.
absl::StatusOr<std::unique_ptr<Block>> BlockOf(const Job& job, const Optimizer& optimizer,
                                               const v1::LogRecord::BlockState& state,
                                               const Payload& payload,
                                               std::shared_ptr<SharedArena> arena = nullptr);

// What `state` says of norms, and the same said in `state`.
std::vector<NormRounds::BlockSums> NormSumsOf(const v1::LogRecord::BlockState& state);
void SetNormSums(const std::vector<NormRounds::BlockSums>& sums, v1::LogRecord::BlockState* state);

}  // namespace parley

#endif  // PARLEY_PS_REPLAY_H_
