#ifndef PARLEY_PS_TABLE_ROW_SLAB_H_
#define PARLEY_PS_TABLE_ROW_SLAB_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ps/table/page_memory.h"

namespace parley {

// Places for rows of one size, by number: a slot. A row stays where it is until it is freed. Rows
// stand one after another in segments of 16 to 32 MiB.
// Thread safety: one writer, or many readers.
class RowSlab {
 public:
  // `row_bytes` in [1, 16 MiB].
  explicit RowSlab(size_t row_bytes);

  std::byte* RowAt(uint32_t slot) const {
    return segments_[slot >> shift_].data() + (slot & mask_) * row_bytes_;
  }
  // Not initialised. Throws std::bad_alloc, also when all 2^32 - 1 slots are taken.
  uint32_t Allocate();
  void Free(uint32_t slot) { free_.push_back(slot); }

  size_t row_bytes() const { return row_bytes_; }
  // Of the rows that are there, and of what is kept for others.
  size_t bytes() const {
    return (next_ - free_.size()) * row_bytes_ + free_.capacity() * sizeof(uint32_t);
  }

 private:
  size_t row_bytes_;
  int shift_ = 0;  // a segment has 2^shift_ rows
  uint32_t mask_;
  uint32_t next_ = 0;           // the first slot that was never taken
  std::vector<uint32_t> free_;  // slots below it
  std::vector<PageMemory> segments_;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROW_SLAB_H_
