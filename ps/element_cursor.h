#ifndef PARLEY_PS_ELEMENT_CURSOR_H_
#define PARLEY_PS_ELEMENT_CURSOR_H_

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "net/payload.h"

namespace parley {

// Goes through a Payload's bytes as elements of `kBytes` bytes, run by run, without copying: slices
// begin anywhere, so runs are not aligned, and an element that straddles slices comes as a run of
// one. Thread safety: none. The Payload must outlive the cursor.
template <size_t kBytes>
class ElementCursor {
 public:
  struct Run {
    const std::byte* data;
    size_t size;  // elements
  };

  explicit ElementCursor(const Payload& payload)
      : slice_(payload.slices().data()), end_(slice_ + payload.slices().size()) {}

  // The next run, of at most `limit` > 0 elements; it is valid until the next call. Empty at the
  // end: a tail of fewer bytes than an element has is not one.
  Run Next(size_t limit) {
    while (slice_ != end_ && offset_ == slice_->size) {
      ++slice_;
      offset_ = 0;
    }
    if (slice_ == end_) return {nullptr, 0};
    const size_t whole = (slice_->size - offset_) / kBytes;
    if (whole == 0) return Straddling();
    const size_t size = std::min(whole, limit);
    const Run run = {slice_->data + offset_, size};
    offset_ += size * kBytes;
    return run;
  }

 private:
  Run Straddling() {
    size_t have = 0;
    while (have < kBytes && slice_ != end_) {
      const size_t taken = std::min(kBytes - have, slice_->size - offset_);
      std::memcpy(straddling_ + have, slice_->data + offset_, taken);
      have += taken;
      offset_ += taken;
      if (offset_ == slice_->size) {
        ++slice_;
        offset_ = 0;
      }
    }
    if (have < kBytes) return {nullptr, 0};
    return {straddling_, 1};
  }

  const Payload::Slice* slice_;
  const Payload::Slice* end_;
  size_t offset_ = 0;  // in *slice_
  std::byte straddling_[kBytes] = {};
};

}  // namespace parley

#endif  // PARLEY_PS_ELEMENT_CURSOR_H_
