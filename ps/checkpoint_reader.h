#ifndef PARLEY_PS_CHECKPOINT_READER_H_
#define PARLEY_PS_CHECKPOINT_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/env.h"
#include "net/job.h"
#include "net/shared_arena.h"
#include "ps/float_buffer.h"
#include "ps/optimizer_registry.h"

namespace parley {

struct RestoredBlock {
  uint32_t number;  // in the job
  FloatBuffer values;
  std::vector<FloatBuffer> slots;
  int64_t version = 0;
  std::vector<int64_t> clocks;  // by worker
  float rate_factor = 1;        // see UpdateContext
};

// The blocks that shard `shard` of `job` owns, ascending, as the checkpoint `manifest_file` (a bare
// name) in `folder` has them. The saved job may have had another number of shards or workers, other
// blocks, other parameters besides, other hyperparameters; docs/checkpoint_format.md says how the
// pieces come together. Every byte that is used is checked first. `registry` has the optimizers
// that the jobs may name. The values stand in `arena`, unless it is null.
//
// INVALID_ARGUMENT   `manifest_file` is not a manifest's name
// NOT_FOUND          no such manifest
// DATA_LOSS          a file is damaged; the message names it
// FAILED_PRECONDITION  a parameter is not in the checkpoint or has another shape there (the message
// names it), the
//                    optimizer is of another kind, or `job` is synchronous and the blocks are not
//                    at one version
// Safe from any thread.
absl::StatusOr<std::vector<RestoredBlock>> RestoreBlocks(Env* env, const std::string& folder,
                                                         const std::string& manifest_file,
                                                         const Job& job, int shard,
                                                         const OptimizerRegistry& registry = {},
                                                         SharedArena* arena = nullptr);

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_READER_H_
