#include "ps/optimizers/norm_clipped.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/aligned_buffer.h"

namespace parley {
namespace {

// As large as the tiles of ReduceAndUpdate.
constexpr size_t kTile = 2048;

class NormClipped final : public Optimizer {
 public:
  NormClipped(float clip_norm, std::unique_ptr<Optimizer> inner)
      : clip_norm_(clip_norm), inner_(std::move(inner)) {}

  std::vector<absl::string_view> slot_names() const override { return inner_->slot_names(); }

  void BeginSlots(absl::Span<const float> values, absl::Span<float* const> slots) const override {
    inner_->BeginSlots(values, slots);
  }

  void Prepare(const UpdateContext&, absl::Span<const float> gradient, absl::Span<const float>,
               absl::Span<float> prepared, absl::Span<float* const>) const override {
    std::copy(gradient.begin(), gradient.end(), prepared.begin());
  }

  void Update(const UpdateContext& context, absl::Span<const float> prepared,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    alignas(kBufferAlignment) float clipped[kTile];
    const float factor = static_cast<float>(std::min(1.0, clip_norm_ / (context.norms[0] + 1e-6)));
    UpdateContext unclipped = context;
    unclipped.norms = {};
    absl::InlinedVector<float*, 4> tile_slots(slots.begin(), slots.end());
    for (size_t begin = 0; begin < prepared.size(); begin += kTile) {
      const size_t size = std::min(kTile, prepared.size() - begin);
      Scale(factor, prepared.data() + begin, size, clipped);
      inner_->Update(unclipped, {clipped, size}, values.subspan(begin, size),
                     new_values.subspan(begin, size), tile_slots);
      for (float*& slot : tile_slots) slot += size;
    }
  }

 private:
  static void Scale(float factor, const float* __restrict g, size_t size, float* __restrict out) {
    for (size_t i = 0; i < size; ++i) out[i] = g[i] * factor;
  }

  const double clip_norm_;
  const std::unique_ptr<Optimizer> inner_;
};

}  // namespace

std::unique_ptr<Optimizer> NewNormClipped(float clip_norm, std::unique_ptr<Optimizer> inner) {
  return std::make_unique<NormClipped>(clip_norm, std::move(inner));
}

}  // namespace parley
