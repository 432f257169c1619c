#ifndef PARLEY_PS_SHARD_COPY_H_
#define PARLEY_PS_SHARD_COPY_H_

#include <memory>
#include <vector>

#include "proto/log.pb.h"
#include "ps/block.h"
#include "ps/norm_rounds.h"
#include "ps/shard_books.h"
#include "ps/shard_table.h"

namespace parley {

// A whole copy of a shard, as the task that kept it (ps/standby.h) gives it to a Shard that goes on
// with it.
struct ShardCopy {
  v1::Books identity;  // spec, checkpoint and log_id
  ShardBooks books;
  std::vector<std::unique_ptr<Block>> blocks;  // as books.numbers(), which tables end
  std::vector<std::vector<NormRounds::BlockSums>> norm_sums;  // likewise
  std::vector<std::unique_ptr<ShardTable>> tables;            // by index in the job
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_COPY_H_
