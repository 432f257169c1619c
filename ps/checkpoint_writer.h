#ifndef PARLEY_PS_CHECKPOINT_WRITER_H_
#define PARLEY_PS_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/aligned_buffer.h"
#include "base/env.h"
#include "net/job.h"
#include "proto/checkpoint.pb.h"
#include "ps/block.h"

namespace parley {

struct SavedBlock {
  uint32_t number;  // in the job
  BlockCut cut;
  std::vector<int64_t>
      clocks;  // by worker: steps pushed to the block; empty means all at the cut's version
};

// A shard's part of a table.
struct SavedTable {
  struct VirtualShard {
    uint32_t number;             // in the table
    std::vector<uint64_t> keys;  // ascending, not empty
    AlignedBytes rows;           // parallel to them, row_bytes each
  };

  int64_t version = 0;
  std::vector<int64_t> clocks;  // by worker
  size_t row_bytes = 0;
  std::vector<VirtualShard> virtual_shards;  // ascending
};

// Where a shard's log has what a checkpoint has not (ShardHeader.log_id); 0: there is no log.
struct ShardLogPlace {
  uint64_t log_id = 0;
  uint64_t segment = 0;
};

// Writes shard `shard`'s part of the checkpoint of `step` into `folder`, which is made when
// missing: the file is durable when OK, and valid once a manifest names it
// (net/checkpoint_folder.h). `blocks` are all of the shard's, each with as many slots as the job's
// optimizer has, `tables` are all of the job's. FAILED_PRECONDITION when the job is synchronous and
// a block or a table is not at version `step`; otherwise errors are those of files. Safe from any
// thread, one at a time for a shard and step.
absl::StatusOr<v1::Manifest::ShardFile> WriteShard(Env* env, const std::string& folder,
                                                   const Job& job, int shard, int64_t step,
                                                   absl::Span<const SavedBlock> blocks,
                                                   ShardLogPlace log = {},
                                                   absl::Span<const SavedTable> tables = {});

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_WRITER_H_
