#include "ps/reduce_update.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/container/inlined_vector.h"
#include "base/aligned_buffer.h"
#include "net/wire_dtype.h"
#include "ps/element_cursor.h"

namespace parley {
namespace {

// 8 KiB for the sum, and with Adam four more arrays of as much: just over a first-level cache of 32
// KiB, of which the last, the new values, is only written.
constexpr size_t kTile = 2048;

typedef float Unaligned __attribute__((aligned(1), may_alias));

void Add(const Unaligned* __restrict in, float* __restrict sum, size_t size) {
  for (size_t i = 0; i < size; ++i) sum[i] += in[i];
}

void Scale(float factor, float* __restrict sum, size_t size) {
  for (size_t i = 0; i < size; ++i) sum[i] *= factor;
}

// One worker's gradient, of which each call takes the next elements.
class Contribution {
 public:
  explicit Contribution(const Gradient& gradient)
      : dtype_(gradient.dtype), floats_(gradient.payload), halves_(gradient.payload) {}

  void CopyTo(float* sum, size_t size) {
    if (dtype_ != v1::FLOAT32) return WidenTo(sum, size);
    ForEachRun(&floats_, size, [&](const std::byte* data, size_t at, size_t count) {
      std::memcpy(sum + at, data, count * sizeof(float));
    });
  }
  // `scratch` has room for `size` elements.
  void AddTo(float* sum, size_t size, float* scratch) {
    if (dtype_ != v1::FLOAT32) {
      WidenTo(scratch, size);
      return Add(scratch, sum, size);
    }
    ForEachRun(&floats_, size, [&](const std::byte* data, size_t at, size_t count) {
      Add(reinterpret_cast<const Unaligned*>(data), sum + at, count);
    });
  }

 private:
  void WidenTo(float* out, size_t size) {
    ForEachRun(&halves_, size, [&](const std::byte* data, size_t at, size_t count) {
      FromWire(dtype_, data, count, out + at);
    });
  }

  // Calls use(data, offset in the tile, elements) for the next `size` elements.
  template <size_t kBytes, typename Use>
  static void ForEachRun(ElementCursor<kBytes>* cursor, size_t size, Use use) {
    for (size_t done = 0; done < size;) {
      const auto run = cursor->Next(size - done);
      if (run.size == 0) return;
      use(run.data, done, run.size);
      done += run.size;
    }
  }

  const v1::DType dtype_;
  ElementCursor<sizeof(float)> floats_;     // of float32
  ElementCursor<sizeof(uint16_t)> halves_;  // of the others
};

}  // namespace

void ReduceAndUpdate(const Optimizer& optimizer, const UpdateContext& context,
                     absl::Span<const Gradient> contributions, int divisor,
                     absl::Span<const float> values, absl::Span<float> new_values,
                     absl::Span<float* const> slots) {
  alignas(kBufferAlignment) float sum[kTile] = {};
  const float factor = 1.0f / static_cast<float>(divisor);
  alignas(kBufferAlignment) float scratch[kTile];
  absl::InlinedVector<Contribution, 8> parts(contributions.begin(), contributions.end());
  absl::InlinedVector<float*, 4> tile_slots(slots.begin(), slots.end());

  for (size_t begin = 0; begin < values.size(); begin += kTile) {
    const size_t size = std::min(kTile, values.size() - begin);
    parts[0].CopyTo(sum, size);
    for (size_t i = 1; i < parts.size(); ++i) parts[i].AddTo(sum, size, scratch);
    if (divisor != 1) Scale(factor, sum, size);
    optimizer.Update(context, {sum, size}, values.subspan(begin, size),
                     new_values.subspan(begin, size), tile_slots);
    for (float*& slot : tile_slots) slot += size;
  }
}

}  // namespace parley
