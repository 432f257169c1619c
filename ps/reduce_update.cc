#include "ps/reduce_update.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>

#include "absl/container/inlined_vector.h"
#include "base/aligned_buffer.h"
#include "net/wire_dtype.h"
#include "ps/element_cursor.h"
#include "ps/sum_tile.h"

namespace parley {
namespace {

// The smaller, the better all arrays' streams are read beside each other; the larger, the less an
// optimizer's preparations for a call weigh. See bench/RESULTS.md.
constexpr size_t kTile = 512;
// For one gradient that needs no sum.
constexpr size_t kDirectTile = 4096;
// Arrays that are added at once.
constexpr size_t kGroup = 8;

// One worker's gradient, of which each call takes the next elements.
class Contribution {
 public:
  explicit Contribution(const Gradient& gradient)
      : dtype_(gradient.dtype),
        bytes_(WireBytes(gradient.dtype)),
        cursor_(gradient.payload, bytes_) {}

  v1::DType dtype() const { return dtype_; }

  // The next `size` elements, where they are, or in `scratch` when they do not lie together. Valid
  // until the next call.
  const std::byte* Next(size_t size, std::byte* scratch) {
    if (run_.size < size) return Gather(size, scratch);
    const std::byte* const data = run_.data;
    run_.data += size * bytes_;
    run_.size -= size;
    return data;
  }

 private:
  // The rare case, kept out of the loop over tiles.
  __attribute__((noinline)) const std::byte* Gather(size_t size, std::byte* scratch) {
    for (size_t done = 0; done < size;) {
      if (run_.size == 0) run_ = cursor_.Next(std::numeric_limits<size_t>::max());
      if (run_.size == 0) break;
      const size_t taken = std::min(run_.size, size - done);
      if (taken == size) return Next(size, scratch);
      std::memcpy(scratch + done * bytes_, run_.data, taken * bytes_);
      run_.data += taken * bytes_;
      run_.size -= taken;
      done += taken;
    }
    return scratch;
  }

  const v1::DType dtype_;
  const size_t bytes_;  // of an element
  ElementCursor cursor_;
  ElementCursor::Run run_ = {nullptr, 0};  // what is left of the cursor's last one
};

// The gradients' mean, tile by tile.
class Mean {
 public:
  Mean(absl::Span<const Gradient> contributions, int divisor)
      : factor_(1.0f / static_cast<float>(divisor)),
        is_direct_(contributions.size() == 1 && divisor == 1 &&
                   contributions[0].dtype == v1::FLOAT32),
        parts_(contributions.begin(), contributions.end()) {}

  // How many elements to take at once, at most.
  size_t tile() const { return is_direct_ ? kDirectTile : kTile; }

  // Of the next `size` elements; valid until the next call.
  const float* Next(size_t size) {
    if (is_direct_) {
      const std::byte* const data =
          parts_[0].Next(size, reinterpret_cast<std::byte*>(scratch_.data()));
      // Optimizers want floats where floats may be.
      if (reinterpret_cast<uintptr_t>(data) % alignof(float) == 0) {
        return reinterpret_cast<const float*>(data);
      }
      std::memcpy(sum_, data, size * sizeof(float));
      return sum_;
    }
    const float* start = nullptr;
    for (size_t begin = 0; begin < parts_.size();) {
      const v1::DType dtype = parts_[begin].dtype();
      absl::InlinedVector<const std::byte*, kGroup> in;
      while (begin < parts_.size() && in.size() < kGroup && parts_[begin].dtype() == dtype) {
        in.push_back(parts_[begin++].Next(
            size, reinterpret_cast<std::byte*>(scratch_.data() + in.size() * kTile)));
      }
      SumTile(dtype, in, start, begin == parts_.size() ? factor_ : 1.0f, size, sum_);
      start = sum_;
    }
    return sum_;
  }

 private:
  static_assert(kDirectTile <= kGroup * kTile);

  const float factor_;
  const bool is_direct_;
  absl::InlinedVector<Contribution, kGroup> parts_;
  alignas(kBufferAlignment) float sum_[kDirectTile];
  alignas(kBufferAlignment) std::array<float, kGroup * kTile> scratch_;
};

}  // namespace

void ReduceAndUpdate(const Optimizer& optimizer, const UpdateContext& context,
                     absl::Span<const Gradient> contributions, int divisor,
                     absl::Span<const float> values, absl::Span<float> new_values,
                     absl::Span<float* const> slots, NarrowCopy copy) {
  Mean mean(contributions, divisor);
  absl::InlinedVector<float*, 4> tile_slots(slots.begin(), slots.end());
  std::byte* narrow = static_cast<std::byte*>(copy.out);
  for (size_t begin = 0; begin < values.size();) {
    const size_t size = std::min(mean.tile(), values.size() - begin);
    optimizer.Update(context, {mean.Next(size), size}, values.subspan(begin, size),
                     new_values.subspan(begin, size), tile_slots);
    if (copy.dtype != v1::DTYPE_UNSPECIFIED) {
      ToWire(copy.dtype, new_values.data() + begin, size, narrow);
      narrow += size * WireBytes(copy.dtype);
    }
    for (float*& slot : tile_slots) slot += size;
    begin += size;
  }
}

}  // namespace parley
