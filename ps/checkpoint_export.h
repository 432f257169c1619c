#ifndef PARLEY_PS_CHECKPOINT_EXPORT_H_
#define PARLEY_PS_CHECKPOINT_EXPORT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/env.h"

namespace parley {

struct ExportOptions {
  // Of these names; empty: all.
  std::vector<std::string> tables;
  int64_t part_rows = 10000000;  // of a table, in one file at most; a virtual shard is never cut
};

// Writes what a checkpoint holds, without what optimizers keep, to files in `folder`, which is made
// where there is none: safetensors, which docs/export_format.md describes. `checkpoint` is a
// checkpoint folder, of which the newest valid checkpoint is taken, or a manifest file.
//   parameters.safetensors               a tensor for each parameter
//   <table>-00001-of-00003.safetensors   "keys" and "rows", for each table
// Tells `out` of each file. A row that has expired is left out. Needs memory for the keys of one
// virtual shard, whatever a table has. Files appear whole or not at all.
//
// NOT_FOUND for a table that the job does not have; INVALID_ARGUMENT for part_rows < 1; the errors
// of ReadManifest, VerifyCheckpoint and Env. Safe from any thread.
absl::Status ExportCheckpoint(Env* env, const std::string& checkpoint, const std::string& folder,
                              const ExportOptions& options, std::ostream& out);

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_EXPORT_H_
