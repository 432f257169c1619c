#ifndef PARLEY_PS_TABLE_TABLE_PART_H_
#define PARLEY_PS_TABLE_TABLE_PART_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "net/table_placement.h"
#include "proto/job.pb.h"
#include "ps/table/page_memory.h"
#include "ps/table/row_index.h"
#include "ps/table/row_slab.h"
#include "ps/table/table_layout.h"

namespace parley {

// A TablePart is some of a table's virtual shards, those that one thread owns: an index each, over
// rows in one slab, in which a row's values and what its optimizer keeps stand side by side.
// Requests come as lists of keys and are looked up in batches: the lines of a batch are asked for
// before the first of them is read.
//
// A row is there from its first Update on (or a later one: TableSpec.admit_after_rounds), and
// until it expires. Otherwise it reads as what the initializer says, so a Gather changes nothing.
// When a row that has expired gives its memory back is nobody's concern: it reads as if it had.
//
// Thread safety: one writer, or many readers; no locks. `layout` must outlive it.
class TablePart {
 public:
  // `virtual_shards` are distinct, ascending numbers in the table.
  TablePart(const TableLayout* layout, std::vector<uint32_t> virtual_shards);

  // Row i of `out`, as it travels in `dtype` (net/row_wire.h), is that of keys[i]; or,
  // where `places` is not empty, row places[i] is. Keys may come more than once; their virtual
  // shards are here. `round` is the last one that was applied. `slots`, unless it is null, is what
  // FindSlots gives.
  void Gather(int64_t round, absl::Span<const uint64_t> keys, absl::Span<const uint32_t> places,
              v1::DType dtype, std::byte* out, const uint32_t* slots = nullptr) const;

  // The table's round, from 1 and rising, gives these rows gradients: gradients[i], `width` finite
  // float32, is that of keys[i]. Keys are distinct and their virtual shards here. Throws
  // std::bad_alloc.
  void Update(int64_t round, absl::Span<const uint64_t> keys,
              absl::Span<const float* const> gradients) {
    UpdateRows(round, keys, gradients);
    Sweep(round);
  }
  // The two halves of an Update: some of the round's rows, and after all of them what has expired
  // by its end gives its memory back, of the virtual shards whose turn it is. `slots`, unless it is
  // null, is what FindSlots gives before, and then what it gives after.
  void UpdateRows(int64_t round, absl::Span<const uint64_t> keys,
                  absl::Span<const float* const> gradients, uint32_t* slots = nullptr);
  // `swept`, unless it is null, is what is told of each slot that is free from then on.
  void Sweep(int64_t round, std::vector<uint32_t>* swept = nullptr);

  const std::vector<uint32_t>& virtual_shards() const { return virtual_shards_; }
  // Their keys, ascending. `virtual_shard` is here.
  std::vector<uint64_t> KeysOf(uint32_t virtual_shard) const;
  // The row_bytes of the layout, which stay where they are; null when there is no such row.
  const std::byte* FindRow(uint64_t key) const;
  // Adds a row that is not there, of row_bytes; returns its slot. Throws std::bad_alloc.
  uint32_t RestoreRow(uint64_t key, const std::byte* row);
  // visit(key, count) for each key of a virtual shard that has no row and was named by so many
  // rounds, in no order.
  template <typename Visit>
  void ForEachSighting(uint32_t virtual_shard, Visit visit) const {
    if (!sightings_.empty()) sightings_[index_of_[virtual_shard]].ForEach(visit);
  }
  // Adds one that is not there, where such are counted. Throws std::bad_alloc.
  void RestoreSighting(uint64_t key, uint32_t count);
  // Forgets rows that are there.
  void RemoveRows(absl::Span<const uint64_t> keys);
  // The slots of the rows of these keys, RowIndex::kNone where there is none. A row keeps its slot
  // until it is removed or swept.
  void FindSlots(absl::Span<const uint64_t> keys, uint32_t* slots) const;
  const std::byte* RowAt(uint32_t slot) const { return slab_.RowAt(slot); }

  // From now on, which rows are updated; what was known of that is forgotten. Nothing is at first.
  void TrackChanges(bool on);
  // Whether a row was updated since then; false where nothing is tracked.
  bool HasChanged(uint32_t slot) const {
    return slot / 64 < changed_.size() && (changed_[slot / 64] >> slot % 64 & 1) != 0;
  }
  // The keys of those, ascending.
  std::vector<uint64_t> ChangedKeysOf(uint32_t virtual_shard) const;

  size_t num_rows() const { return num_rows_; }
  // Bytes that the rows take, and all that belongs to them.
  size_t memory() const {
    return slab_.bytes() + pool_.used() + index_of_.capacity() * 2 +
           changed_.capacity() * sizeof(changed_[0]);
  }

 private:
  RowIndex& IndexOf(uint64_t mixed) { return indices_[LocalOf(mixed)]; }
  const RowIndex& IndexOf(uint64_t mixed) const { return indices_[LocalOf(mixed)]; }
  uint16_t LocalOf(uint64_t mixed) const {
    return index_of_[VirtualShardOf(mixed, layout_->virtual_shards)];
  }
  // Calls found(i, slot) for keys[i], in their order.
  template <typename Found>
  void FindEach(absl::Span<const uint64_t> keys, Found found) const;
  // FindSlots, and where those rows are; null where there is none. Returns how many are there.
  size_t FindRows(absl::Span<const uint64_t> keys, uint32_t* slots, std::byte** rows) const;
  // The same of slots that are known.
  size_t RowsAt(absl::Span<const uint32_t> slots, std::byte** rows) const;
  uint32_t AddRow(uint64_t key);
  void SetChanged(uint32_t slot);
  // Whether `key`, which has no row, gets one now that another round has named it.
  bool Admit(uint64_t key);
  void Read(const std::byte* row, uint64_t key, v1::DType dtype, std::byte* out) const;

  const TableLayout* layout_;
  std::vector<uint32_t> virtual_shards_;
  std::vector<uint16_t> index_of_;  // by virtual shard of the table: in indices_
  std::vector<RowIndex> indices_;
  // Of keys without a row, how many rounds have named them, instead of a slot; empty where none are
  // counted.
  std::vector<RowIndex> sightings_;
  RowSlab slab_;
  PagePool pool_;
  size_t num_rows_ = 0;
  bool tracks_ = false;
  std::vector<uint64_t> changed_;  // a bit for each slot, as far as any was set
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_TABLE_PART_H_
