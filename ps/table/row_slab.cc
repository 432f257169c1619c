#include "ps/table/row_slab.h"

#include <new>

namespace parley {
namespace {

constexpr size_t kSegment = size_t{32} << 20;  // bytes, the most
constexpr uint32_t kNoSlot = 0xffffffff;

}  // namespace

RowSlab::RowSlab(size_t row_bytes) : row_bytes_(row_bytes) {
  while ((row_bytes_ << (shift_ + 1)) <= kSegment) ++shift_;
  mask_ = (uint32_t{1} << shift_) - 1;
}

uint32_t RowSlab::Allocate() {
  if (!free_.empty()) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  if (next_ == kNoSlot) throw std::bad_alloc();
  if ((next_ >> shift_) == segments_.size()) segments_.emplace_back(row_bytes_ << shift_);
  return next_++;
}

}  // namespace parley
