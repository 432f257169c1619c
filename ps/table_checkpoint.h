#ifndef PARLEY_PS_TABLE_CHECKPOINT_H_
#define PARLEY_PS_TABLE_CHECKPOINT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/env.h"
#include "net/job.h"
#include "ps/checkpoint_writer.h"
#include "ps/shard_table.h"

namespace parley {

// What a checkpoint has of tables besides its bytes (ps/checkpoint_writer.h).

// A copy of the rows of `part`, by its queue, or of those that changed since changes are tracked;
// the clocks are left out. Of a table whose rows are spilled it is on the same disk. The error is
// that disk's.
absl::StatusOr<SavedTable> SavePart(ShardTable* table, size_t part, bool only_changed);
// Puts together what SavePart gave for the parts of one table.
SavedTable JoinParts(std::vector<SavedTable> parts);

struct RestoredTable {
  std::unique_ptr<ShardTable> table;
  std::vector<int64_t> clocks;  // by worker
};

// The parts of `job`'s tables that belong to `shard`, each in `num_parts` parts, with their rows in
// the checkpoint `manifest_file` in `folder`. The saved job may have had another number of shards,
// virtual shards or workers, other tables besides, other hyperparameters. Every byte that is used
// is checked. `spill_folder` as in ShardTable::Create. Errors are those of RestoreBlocks;
// FAILED_PRECONDITION when a table is not in the checkpoint, has rows of another width, dtype or
// kind of optimizer there, or is synchronous and not at the checkpoint's step. Safe from any
// thread.
absl::StatusOr<std::vector<RestoredTable>> RestoreTables(Env* env, const std::string& folder,
                                                         const std::string& manifest_file,
                                                         const Job& job, int shard,
                                                         size_t num_parts,
                                                         const std::string& spill_folder);

}  // namespace parley

#endif  // PARLEY_PS_TABLE_CHECKPOINT_H_
