#ifndef PARLEY_PS_TABLE_ROW_SPILL_H_
#define PARLEY_PS_TABLE_ROW_SPILL_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace parley {

// Where rows of one table are while there is no room for them in memory: found by virtual shard and
// key, of one size. It is no log: what is in it ends with the process.
//
// Errors are the disk's; what is there after one is not known.
// Thread safety: safe from any thread, for rows of different virtual shards; otherwise one writer,
// or many readers.
class RowSpill {
 public:
  struct Name {
    uint32_t virtual_shard;
    uint64_t key;
  };

  virtual ~RowSpill() = default;

  // Rows that are there already are replaced. Names are distinct; rows[i] has the size of a row.
  virtual absl::Status Put(absl::Span<const Name> names,
                           absl::Span<const std::byte* const> rows) = 0;
  // Of distinct names, ascending by virtual shard and then by key. found[i] says whether row i of
  // `out`, one behind another, is written.
  virtual absl::Status Get(absl::Span<const Name> names, std::vector<bool>* found,
                           std::byte* out) const = 0;
  // Rows that are not there change nothing.
  virtual absl::Status Erase(absl::Span<const Name> names) = 0;
  // All rows of a virtual shard, their keys ascending. `visit` may not call this.
  virtual absl::Status ForEach(
      uint32_t virtual_shard,
      absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROW_SPILL_H_
