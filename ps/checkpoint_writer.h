#ifndef PARLEY_PS_CHECKPOINT_WRITER_H_
#define PARLEY_PS_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "base/env.h"
#include "net/job.h"
#include "proto/checkpoint.pb.h"
#include "ps/block.h"
#include "ps/row_spool.h"

namespace parley {

struct SavedBlock {
  uint32_t number;  // in the job
  BlockCut cut;
  std::vector<int64_t>
      clocks;  // by worker: steps pushed to the block; empty means all at the cut's version
  // It is as in the checkpoint that this one is based on. Of the cut only the version and the rate
  // factor count, and its slots are so many.
  bool unchanged = false;
  int num_slots = 0;
};

// A shard's part of a table.
struct SavedTable {
  struct VirtualShard {
    uint32_t number;             // in the table
    std::vector<uint64_t> keys;  // ascending, not empty
    const RowSpool* spool;       // where its rows are, parallel to them, row_bytes each
    int64_t begin;               // there
  };

  int64_t version = 0;
  std::vector<int64_t> clocks;  // by worker
  size_t row_bytes = 0;
  std::vector<VirtualShard> virtual_shards;  // ascending
  std::vector<std::unique_ptr<RowSpool>> spools;
};

// Where a checkpoint is incremental: the step of the one that has what this one has not.
using BaseStep = absl::optional<int64_t>;

// Where a shard's log has what a checkpoint has not (ShardHeader.log_id); 0: there is no log.
struct ShardLogPlace {
  uint64_t log_id = 0;
  uint64_t segment = 0;
};

// Writes shard `shard`'s part of the checkpoint of `step` into `folder`, which is made when
// missing: the file is durable when OK, and valid once a manifest names it
// (net/checkpoint_folder.h). `blocks` are all of the shard's, each with as many slots as the job's
// optimizer has, `tables` are all of the job's; with a `base` these have the rows that changed
// since. FAILED_PRECONDITION when the job is synchronous and
// a block or a table is not at version `step`; otherwise errors are those of files. Safe from any
// thread, one at a time for a shard and step.
absl::StatusOr<v1::Manifest::ShardFile> WriteShard(Env* env, const std::string& folder,
                                                   const Job& job, int shard, int64_t step,
                                                   absl::Span<const SavedBlock> blocks,
                                                   ShardLogPlace log = {},
                                                   absl::Span<const SavedTable> tables = {},
                                                   BaseStep base = absl::nullopt);

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_WRITER_H_
