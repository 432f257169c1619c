#ifndef PARLEY_NET_PAYLOAD_H_
#define PARLEY_NET_PAYLOAD_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace parley {

// A Payload is the bulk bytes of a message: slices in order, read as one sequence of bytes. It
// copies nothing: each slice points into memory that its `owner` keeps alive, so whoever holds the
// Payload (or a copy of a slice) may read the bytes, and nobody may write them meanwhile. Elements
// may straddle two slices. Thread safety: as for a std::vector.
class Payload {
 public:
  struct Slice {
    const std::byte* data = nullptr;
    size_t size = 0;
    std::shared_ptr<const void> owner;  // may be null for memory that outlives every reader
  };

  void Append(const void* data, size_t size, std::shared_ptr<const void> owner) {
    if (size == 0) return;
    slices_.push_back({static_cast<const std::byte*>(data), size, std::move(owner)});
    size_ += size;
  }
  void Append(const Payload& other) {
    slices_.insert(slices_.end(), other.slices_.begin(), other.slices_.end());
    size_ += other.size_;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  absl::Span<const Slice> slices() const { return slices_; }

  // Bytes [offset, offset + size), sharing their memory; the range must lie inside.
  Payload Sub(size_t offset, size_t size) const {
    Payload result;
    for (const Slice& slice : slices_) {
      if (size == 0) break;
      if (offset >= slice.size) {
        offset -= slice.size;
        continue;
      }
      const size_t taken = std::min(size, slice.size - offset);
      result.Append(slice.data + offset, taken, slice.owner);
      offset = 0;
      size -= taken;
    }
    return result;
  }

  // Copies all bytes to `destination`, which has room for size() of them.
  void CopyTo(void* destination) const {
    std::byte* out = static_cast<std::byte*>(destination);
    for (const Slice& slice : slices_) {
      std::memcpy(out, slice.data, slice.size);
      out += slice.size;
    }
  }

 private:
  absl::InlinedVector<Slice, 1> slices_;
  size_t size_ = 0;
};

// Cuts a Payload into parts, one after another, that share its memory. The Payload must outlive the
// reader, not the parts. Thread safety: none.
class PayloadReader {
 public:
  explicit PayloadReader(const Payload& payload)
      : slices_(payload.slices()), left_(payload.size()) {}

  size_t left() const { return left_; }  // bytes
  // The next `size` bytes, which must not be more than are left.
  Payload Take(size_t size) {
    Payload result;
    left_ -= size;
    while (size > 0) {
      const Payload::Slice& slice = slices_.front();
      const size_t taken = std::min(size, slice.size - offset_);
      result.Append(slice.data + offset_, taken, slice.owner);
      size -= taken;
      offset_ += taken;
      if (offset_ == slice.size) {
        slices_.remove_prefix(1);
        offset_ = 0;
      }
    }
    return result;
  }

 private:
  absl::Span<const Payload::Slice> slices_;
  size_t offset_ = 0;  // in the first of them
  size_t left_;
};

}  // namespace parley

#endif  // PARLEY_NET_PAYLOAD_H_
