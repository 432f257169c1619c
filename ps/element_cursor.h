#ifndef PARLEY_PS_ELEMENT_CURSOR_H_
#define PARLEY_PS_ELEMENT_CURSOR_H_

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "net/payload.h"

namespace parley {

// Goes through a Payload's bytes as elements of a fixed size, run by run, without copying: slices
// begin anywhere, so runs are not aligned, and an element that straddles slices comes as a run of
// one. Thread safety: none. The Payload must outlive the cursor.
class ElementCursor {
 public:
  struct Run {
    const std::byte* data;
    size_t size;  // elements
  };

  // `element_bytes` is from 1 to 4.
  ElementCursor(const Payload& payload, size_t element_bytes)
      : element_bytes_(element_bytes),
        slice_(payload.slices().data()),
        end_(slice_ + payload.slices().size()) {}

  // The next run, of at most `limit` > 0 elements; it is valid until the next call. Empty at the
  // end: a tail of fewer bytes than an element has is not one.
  Run Next(size_t limit) {
    while (slice_ != end_ && offset_ == slice_->size) {
      ++slice_;
      offset_ = 0;
    }
    if (slice_ == end_) return {nullptr, 0};
    const size_t whole = (slice_->size - offset_) / element_bytes_;
    if (whole == 0) return Straddling();
    const size_t size = std::min(whole, limit);
    const Run run = {slice_->data + offset_, size};
    offset_ += size * element_bytes_;
    return run;
  }

 private:
  Run Straddling() {
    size_t have = 0;
    while (have < element_bytes_ && slice_ != end_) {
      const size_t taken = std::min(element_bytes_ - have, slice_->size - offset_);
      std::memcpy(straddling_ + have, slice_->data + offset_, taken);
      have += taken;
      offset_ += taken;
      if (offset_ == slice_->size) {
        ++slice_;
        offset_ = 0;
      }
    }
    if (have < element_bytes_) return {nullptr, 0};
    return {straddling_, 1};
  }

  static constexpr size_t kMaxBytes = 4;

  const size_t element_bytes_;
  const Payload::Slice* slice_;
  const Payload::Slice* end_;
  size_t offset_ = 0;  // in *slice_
  std::byte straddling_[kMaxBytes] = {};
};

}  // namespace parley

#endif  // PARLEY_PS_ELEMENT_CURSOR_H_
