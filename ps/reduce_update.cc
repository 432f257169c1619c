#include "ps/reduce_update.h"

#include <algorithm>
#include <cstring>

#include "absl/container/inlined_vector.h"
#include "base/aligned_buffer.h"
#include "ps/float_cursor.h"

namespace parley {
namespace {

// 8 KiB for the sum, and with Adam four more arrays of as much: just over a first-level cache of 32
// KiB, of which the last, the new values, is only written.
constexpr size_t kTile = 2048;

void Add(const FloatCursor::Unaligned* __restrict in, float* __restrict sum, size_t size) {
  for (size_t i = 0; i < size; ++i) sum[i] += in[i];
}

void Scale(float factor, float* __restrict sum, size_t size) {
  for (size_t i = 0; i < size; ++i) sum[i] *= factor;
}

// Calls use(run, offset in the tile) for the next `size` elements.
template <typename Use>
void ForEachRun(FloatCursor* cursor, size_t size, Use use) {
  for (size_t done = 0; done < size;) {
    const FloatCursor::Run run = cursor->Next(size - done);
    if (run.size == 0) return;
    use(run, done);
    done += run.size;
  }
}

}  // namespace

void ReduceAndUpdate(const Optimizer& optimizer, const UpdateContext& context,
                     absl::Span<const Payload> contributions, int divisor,
                     absl::Span<const float> values, absl::Span<float> new_values,
                     absl::Span<float* const> slots) {
  alignas(kBufferAlignment) float sum[kTile] = {};
  const float factor = 1.0f / static_cast<float>(divisor);
  absl::InlinedVector<FloatCursor, 8> cursors;
  cursors.reserve(contributions.size());
  for (const Payload& contribution : contributions) cursors.emplace_back(contribution);
  absl::InlinedVector<float*, 4> tile_slots(slots.begin(), slots.end());

  for (size_t begin = 0; begin < values.size(); begin += kTile) {
    const size_t size = std::min(kTile, values.size() - begin);
    ForEachRun(&cursors[0], size, [&](const FloatCursor::Run& run, size_t at) {
      std::memcpy(sum + at, run.data, run.size * sizeof(float));
    });
    for (size_t i = 1; i < cursors.size(); ++i) {
      ForEachRun(&cursors[i], size, [&](const FloatCursor::Run& run, size_t at) {
        Add(run.data, sum + at, run.size);
      });
    }
    if (divisor != 1) Scale(factor, sum, size);
    optimizer.Update(context, {sum, size}, values.subspan(begin, size),
                     new_values.subspan(begin, size), tile_slots);
    for (float*& slot : tile_slots) slot += size;
  }
}

}  // namespace parley
