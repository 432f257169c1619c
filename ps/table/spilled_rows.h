#ifndef PARLEY_PS_TABLE_SPILLED_ROWS_H_
#define PARLEY_PS_TABLE_SPILLED_ROWS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ps/table/row_spill.h"
#include "ps/table/table_layout.h"
#include "ps/table/table_part.h"

namespace parley {

// Keeps the rows of a TablePart that there is room for in memory, and the others in a RowSpill. Who
// reads or updates rows brings them back before, and lets others go afterwards: those that were
// asked for least often. How often that is, a row takes to the disk and back with it; and all
// counts are halved every now and then, so that it is what was asked for of late. A row is written
// to the spill when it goes and was changed since it came back.
//
// Invariants: (1) a row that is in memory counts, whatever the spill has; one that is not is in the
//                 spill, or there is none.
//             (2) what the spill has of a row that is in memory and unchanged is the same.
//             (3) of a row that expired in memory the spill has none, or one that expired earlier.
// After an error of the spill the table has lost rows.
// Thread safety: that of a TablePart.
class SpilledRows {
 public:
  // `memory` bytes for the part, with what this adds. All must outlive it.
  SpilledRows(const TableLayout* layout, TablePart* part, RowSpill* spill, size_t memory);

  // Before the part's Gather, or UpdateRows, of these keys, of which the latter are distinct; what
  // FindSlots then gives of them, for these, until the next call; and after UpdateRows of the same
  // keys, which had these slots.
  absl::Status BringBack(absl::Span<const uint64_t> keys);
  uint32_t* slots() { return slots_.data(); }
  void Changed(absl::Span<const uint64_t> keys);
  // Lets rows go until there is room.
  absl::Status LetGo();
  // The part's Sweep, and one of the rows that are not in memory.
  absl::Status Sweep(int64_t round);

  // Every row of a virtual shard, in memory or not, with ascending keys.
  absl::Status ForEach(uint32_t virtual_shard,
                       absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const;
  // From now on, as TablePart::TrackChanges; and those that were changed, likewise.
  void TrackChanges(bool on);
  absl::Status ForEachChanged(uint32_t virtual_shard,
                              absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit);
  // Puts a row that is nowhere into memory.
  void Restore(uint64_t key, const std::byte* row);

  // Rows that were brought back, since the beginning.
  int64_t fetched() const { return fetched_; }
  // Bytes that this takes besides the part.
  size_t memory() const {
    return keys_.capacity() * (sizeof(keys_[0]) + sizeof(states_[0])) +
           changed_.capacity() * sizeof(changed_[0]) + spill_->memory();
  }

 private:
  // A row's state: how often it was asked for in its lower bits, and
  static constexpr uint16_t kMostUses = 255;
  static constexpr uint16_t kChanged = 256;  // since it came back
  static constexpr uint16_t kSpilled = 512;  // the spill has one of its key
  static constexpr uint16_t kThere = 1024;   // keys_ says which row it is

  void Use(uint16_t* state);
  void Forget(uint16_t* state);  // whose row has gone
  void HalveUses();
  // Rows of so many uses, or fewer, go: at least one of 16 is such a row.
  uint16_t FewUses() const;
  // What is kept with a row that goes, and what that says of one that comes back.
  uint16_t NoteOf(uint16_t state) const;
  uint16_t UsesOf(uint16_t note) const;
  RowSpill::Name NameOf(uint64_t key) const;
  void SortChanged();
  void Keep(uint32_t slot, uint64_t key, uint16_t state);
  size_t Taken() const { return part_->memory() + memory(); }

  const TableLayout* const layout_;
  TablePart* const part_;
  RowSpill* const spill_;
  const size_t memory_;
  std::vector<uint64_t> keys_;                       // by slot of the part
  std::vector<uint16_t> states_;                     // likewise
  size_t hand_ = 0;                                  // goes round over them
  std::array<uint32_t, kMostUses + 1> rows_with_{};  // by uses
  uint64_t uses_ = 0;                                // since they were halved last
  uint8_t halvings_ = 0;
  int64_t fetched_ = 0;
  // Of rows that were changed since changes are tracked and then went; the first sorted_ are in
  // order, each once.
  std::vector<RowSpill::Name> changed_;
  size_t sorted_ = 0;
  // Kept, so that they need not be made each time.
  std::vector<uint32_t> slots_;
  std::vector<uint32_t> missing_;
  std::vector<uint64_t> leaving_;
  std::vector<RowSpill::Name> names_;
  std::vector<RowSpill::Row> written_;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_SPILLED_ROWS_H_
