#include "ps/reduce_update.h"

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "absl/types/optional.h"
#include "base/aligned_buffer.h"
#include "net/wire_dtype.h"
#include "ps/element_cursor.h"
#include "ps/gradient_tiles.h"
#include "ps/sum_tile.h"

namespace parley {
namespace {

// Elements that are summed before the optimizer takes them. The smaller, the better the gradients'
// streams are read beside those of values and slots: a processor looks ahead only so far. The
// larger, the less what is done once for a tile weighs.
constexpr size_t kTile = 128;
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

  // The next elements that lie together: where, and how many; none only at the end.
  const std::byte* data() const { return run_.data; }
  size_t Ahead() {
    if (run_.size == 0) run_ = cursor_.Next(std::numeric_limits<size_t>::max());
    return run_.size;
  }
  // `size` is not more than are ahead.
  void Advance(size_t size) {
    run_.data += size * bytes_;
    run_.size -= size;
  }

  // Takes `size` elements, to `scratch` if they do not lie together, and returns where they are.
  // Valid until the next call.
  const std::byte* Take(size_t size, std::byte* scratch) {
    const std::byte* const together = Ahead() < size ? nullptr : data();
    for (size_t done = 0; done < size && Ahead() > 0;) {
      const size_t taken = std::min(Ahead(), size - done);
      if (together == nullptr) std::memcpy(scratch + done * bytes_, data(), taken * bytes_);
      Advance(taken);
      done += taken;
    }
    return together != nullptr ? together : scratch;
  }

 private:
  const v1::DType dtype_;
  const size_t bytes_;  // of an element
  ElementCursor cursor_;
  ElementCursor::Run run_ = {nullptr, 0};  // what is left of the cursor's last one
};

// The gradients' mean, tile by tile. Writes the narrow copy of each tile that was used.
class Mean final : public GradientTiles {
 public:
  Mean(absl::Span<const Gradient> contributions, int divisor, absl::Span<const float> new_values,
       NarrowCopy copy)
      : factor_(1.0f / static_cast<float>(divisor)),
        new_values_(new_values),
        copy_(copy),
        is_direct_(contributions.size() == 1 && divisor == 1 &&
                   contributions[0].dtype == v1::FLOAT32),
        tile_(is_direct_ && copy.dtype == v1::DTYPE_UNSPECIFIED ? kDirectTile : kTile),
        parts_(contributions.begin(), contributions.end()),
        is_simple_(parts_.size() <= kGroup && std::all_of(parts_.begin(), parts_.end(),
                                                          [this](const Contribution& part) {
                                                            return part.dtype() ==
                                                                   parts_[0].dtype();
                                                          })),
        has_parts_(is_simple_ && parts_.size() > 1 && parts_[0].dtype() == v1::FLOAT32 &&
                   copy.dtype == v1::DTYPE_UNSPECIFIED) {}

  absl::optional<Parts> NextParts() override {
    if (!has_parts_) return absl::nullopt;
    if (used_ == together_) LookAhead();
    const size_t size = std::min(together_ - used_, new_values_.size() - end_);
    if (size < kTile) return absl::nullopt;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const std::byte* const data = in_[i] + used_ * sizeof(float);
      if (reinterpret_cast<uintptr_t>(data) % alignof(float) != 0) return absl::nullopt;
      floats_[i] = reinterpret_cast<const float*>(data);
    }
    used_ += size;
    begin_ = end_;
    end_ += size;
    return Parts{{floats_, parts_.size()}, factor_, size};
  }

  absl::Span<const float> Next() override {
    if (copy_.dtype != v1::DTYPE_UNSPECIFIED) Narrow();
    begin_ = end_;
    const size_t size = std::min(tile_, new_values_.size() - begin_);
    if (size == 0) return {};
    end_ += size;
    if (is_simple_) {
      if (together_ - used_ < size) LookAhead();
      if (together_ - used_ >= size) {
        const size_t at = used_;
        used_ += size;
        if (is_direct_) return {Floats(in_[0] + at * sizeof(float), size), size};
        SumTile(parts_[0].dtype(), {in_, parts_.size()}, at, nullptr, factor_, size, sum_);
        return {sum_, size};
      }
      used_ = together_ = 0;  // Sum() takes from the contributions themselves
    }
    return {Sum(size), size};
  }

 private:
  // What the tile before was for is in new_values_[begin_, end_).
  void Narrow() {
    ToWire(copy_.dtype, new_values_.data() + begin_, end_ - begin_,
           static_cast<std::byte*>(copy_.out) + begin_ * WireBytes(copy_.dtype));
  }

  // From here on `together_` elements of each contribution lie together at in_.
  void LookAhead() {
    size_t together = std::numeric_limits<size_t>::max();
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (used_ > 0) parts_[i].Advance(used_);
      together = std::min(together, parts_[i].Ahead());
      in_[i] = parts_[i].data();
    }
    used_ = 0;
    together_ = together;
  }

  // Optimizers want floats where floats may be.
  const float* Floats(const std::byte* data, size_t size) {
    if (reinterpret_cast<uintptr_t>(data) % alignof(float) == 0) {
      return reinterpret_cast<const float*>(data);
    }
    std::memcpy(sum_, data, size * sizeof(float));
    return sum_;
  }

  // Of any number of contributions of any types, however they are sliced.
  const float* Sum(size_t size) {
    const float* start = nullptr;
    for (size_t begin = 0; begin < parts_.size();) {
      const v1::DType dtype = parts_[begin].dtype();
      absl::InlinedVector<const std::byte*, kGroup> in;
      while (begin < parts_.size() && in.size() < kGroup && parts_[begin].dtype() == dtype) {
        in.push_back(
            parts_[begin++].Take(size, reinterpret_cast<std::byte*>(scratch_ + in.size() * tile_)));
      }
      SumTile(dtype, in, 0, start, begin == parts_.size() ? factor_ : 1.0f, size, sum_);
      start = sum_;
    }
    return sum_;
  }

  const float factor_;
  const absl::Span<const float> new_values_;
  const NarrowCopy copy_;
  const bool is_direct_;
  const size_t tile_;
  absl::InlinedVector<Contribution, kGroup> parts_;
  const bool is_simple_;  // all in one group
  const bool has_parts_;  // NextParts may have some
  size_t begin_ = 0;      // of the tile that is in use
  size_t end_ = 0;
  const std::byte* in_[kGroup] = {};  // see LookAhead
  size_t together_ = 0;
  size_t used_ = 0;                   // of these
  const float* floats_[kGroup] = {};  // what NextParts gave
  alignas(kBufferAlignment) float sum_[kDirectTile];
  alignas(kBufferAlignment) float scratch_[std::max(kDirectTile, kGroup* kTile)];
};

// The same gradients, compensated for what `values` have changed since they were `base`.
class Compensated final : public GradientTiles {
 public:
  Compensated(GradientTiles* gradients, float lambda, const float* values, const float* base)
      : gradients_(gradients), lambda_(lambda), values_(values), base_(base) {}

  absl::Span<const float> Next() override {
    const absl::Span<const float> in = gradients_->Next();
    const float* __restrict const gradient = in.data();
    float* __restrict const out = tile_;
    for (size_t i = 0; i < in.size(); ++i) {
      out[i] = gradient[i] + ((lambda_ * gradient[i]) * gradient[i]) * (values_[i] - base_[i]);
    }
    values_ += in.size();
    base_ += in.size();
    return {tile_, in.size()};
  }

 private:
  GradientTiles* const gradients_;
  const float lambda_;
  const float* values_;  // of the next tile
  const float* base_;    // likewise
  alignas(kBufferAlignment) float tile_[kDirectTile];
};

// The same gradients, which are also written to `out`, one after another.
class WrittenDown final : public GradientTiles {
 public:
  WrittenDown(GradientTiles* gradients, float* out) : gradients_(gradients), out_(out) {}

  absl::Span<const float> Next() override {
    const absl::Span<const float> tile = gradients_->Next();
    out_ = std::copy(tile.begin(), tile.end(), out_);
    return tile;
  }

 private:
  GradientTiles* const gradients_;
  float* out_;  // of the next tile
};

}  // namespace

void ReduceAndUpdate(const Optimizer& optimizer, const UpdateContext& context,
                     absl::Span<const Gradient> contributions, int divisor,
                     absl::Span<const float> values, absl::Span<float> new_values,
                     absl::Span<float* const> slots, NarrowCopy copy, float compensation,
                     float* mean) {
  Mean means(contributions, divisor, new_values, copy);
  UpdateContext own = context;
  if (copy.dtype != v1::DTYPE_UNSPECIFIED) own.around_caches = false;  // the copy reads them
  const float* const base = contributions.size() == 1 ? contributions[0].base.get() : nullptr;
  GradientTiles* tiles = &means;
  std::unique_ptr<Compensated> compensated;  // large, and seldom needed
  if (compensation > 0 && base != nullptr) {
    compensated = std::make_unique<Compensated>(tiles, compensation, values.data(), base);
    tiles = compensated.get();
  }
  absl::optional<WrittenDown> written;
  if (mean != nullptr) {
    written.emplace(tiles, mean);
    tiles = &*written;
  }
  optimizer.UpdateTiles(own, *tiles, values, new_values, slots);
  // Stores around the caches are before what tells others that the values are there.
  if (own.around_caches) _mm_sfence();
}

}  // namespace parley
