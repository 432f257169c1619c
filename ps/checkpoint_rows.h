#ifndef PARLEY_PS_CHECKPOINT_ROWS_H_
#define PARLEY_PS_CHECKPOINT_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ps/checkpoint_index.h"

namespace parley {

// The rows of a table in a checkpoint, virtual shard by virtual shard. Where a shard has several
// files, a row is that of the newest which has it. The arrays are not checked (CheckpointIndex).
// Thread safety: safe from any thread. `index` must outlive it.
class CheckpointRows {
 public:
  // Where a row stands.
  struct Place {
    uint64_t key;
    int file;        // in index.files()
    int64_t offset;  // in bytes
  };

  // Of the files for which `reads` is true; null: of all.
  CheckpointRows(const CheckpointIndex* index, int table, const std::vector<bool>* reads = nullptr);

  // Numbers of virtual shards that have rows, by shard of the saved job and then ascending.
  const std::vector<uint32_t>& virtual_shards() const { return virtual_shards_; }
  // The shard that saved it.
  int ShardOf(uint32_t virtual_shard) const;
  // Its rows, their keys ascending.
  absl::StatusOr<std::vector<Place>> Find(uint32_t virtual_shard) const;
  // Calls use(i, row) for each, in their order, with its row_bytes; ends with the first error.
  absl::Status Read(const std::vector<Place>& places,
                    absl::FunctionRef<absl::Status(size_t i, const std::byte* row)> use) const;

 private:
  const CheckpointIndex& index_;
  const int64_t row_bytes_;
  std::vector<uint32_t> virtual_shards_;
  std::map<uint32_t, std::vector<const CheckpointIndex::TablePiece*>> pieces_;  // newest first
};

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_ROWS_H_
