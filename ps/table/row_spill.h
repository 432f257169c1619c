#ifndef PARLEY_PS_TABLE_ROW_SPILL_H_
#define PARLEY_PS_TABLE_ROW_SPILL_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace parley {

// Where rows of one part of a table are while there is no room for them in memory: found by virtual
// shard and key, of one size. It is no log: what is in it ends with the process.
//
// Errors are the disk's; what is there after one is not known.
// Thread safety: one writer, or many readers.
class RowSpill {
 public:
  struct Name {
    uint32_t virtual_shard;
    uint64_t key;
  };
  struct Row {
    Name name;
    const std::byte* bytes;  // of the size of a row
    uint16_t note;           // any number, which is kept with it
    bool replaces;           // one of this name is there; otherwise there must be none
  };

  virtual ~RowSpill() = default;

  // Their names are distinct.
  virtual absl::Status Put(absl::Span<const Row> rows) = 0;
  // visit(i, note, row) for each that is there, of names[i], in their order. `visit` may not call
  // this.
  virtual absl::Status Get(
      absl::Span<const Name> names,
      absl::FunctionRef<void(size_t i, uint16_t note, const std::byte* row)> visit) const = 0;
  // Of distinct names, all of which are there.
  virtual absl::Status Erase(absl::Span<const Name> names) = 0;
  // All rows of a virtual shard, their keys ascending. `visit` may not call this.
  virtual absl::Status ForEach(
      uint32_t virtual_shard,
      absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const = 0;

  // Bytes of memory that grow with the number of rows that are there.
  virtual size_t memory() const = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROW_SPILL_H_
