#include "ps/optimizers/regularized.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/aligned_buffer.h"

namespace parley {
namespace {

// As large as the tiles of ReduceAndUpdate.
constexpr size_t kTile = 2048;

class Regularized final : public Optimizer {
 public:
  Regularized(const RegularizedConfig& config, std::unique_ptr<Optimizer> inner)
      : config_(config), inner_(std::move(inner)) {}

  std::vector<absl::string_view> slot_names() const override { return inner_->slot_names(); }

  void BeginSlots(absl::Span<const float> values, absl::Span<float* const> slots) const override {
    inner_->BeginSlots(values, slots);
  }

  // An inner optimizer with two halves has a decay of its own: `values` stay as they are.
  void Prepare(const UpdateContext& context, absl::Span<const float> gradient,
               absl::Span<const float> values, absl::Span<float> prepared,
               absl::Span<float* const> slots) const override {
    ForEachTile(gradient, values, prepared, slots,
                [&](absl::Span<const float> g, absl::Span<const float> p, absl::Span<float> out,
                    absl::Span<float* const> tile_slots) {
                  inner_->Prepare(context, g, p, out, tile_slots);
                });
  }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    if (!context.norms.empty()) {  // Prepare has changed the gradient
      return inner_->Update(context, gradient, values, new_values, slots);
    }
    alignas(kBufferAlignment) float changed_values[kTile];
    const float keep = static_cast<float>(1 - static_cast<double>(context.learning_rate) *
                                                  static_cast<double>(config_.weight_decay));
    ForEachTile(gradient, values, new_values, slots,
                [&](absl::Span<const float> g, absl::Span<const float> p, absl::Span<float> out,
                    absl::Span<float* const> tile_slots) {
                  if (config_.weight_decay > 0) {
                    Shrink(keep, p.data(), p.size(), changed_values);
                    p = {changed_values, p.size()};
                  }
                  inner_->Update(context, g, p, out, tile_slots);
                });
  }

 private:
  // Calls use(gradient, values, out, slots) for each tile, its gradient changed.
  template <typename Use>
  void ForEachTile(absl::Span<const float> gradient, absl::Span<const float> values,
                   absl::Span<float> out, absl::Span<float* const> slots, Use use) const {
    alignas(kBufferAlignment) float changed_gradient[kTile];
    absl::InlinedVector<float*, 4> tile_slots(slots.begin(), slots.end());
    for (size_t begin = 0; begin < gradient.size(); begin += kTile) {
      const size_t size = std::min(kTile, gradient.size() - begin);
      absl::Span<const float> g = gradient.subspan(begin, size);
      const absl::Span<const float> p = values.subspan(begin, size);
      if (config_.clip_value > 0) {
        Clip(g.data(), size, changed_gradient);
        g = {changed_gradient, size};
      }
      if (config_.l1 > 0 || config_.l2 > 0) {
        AddPenalties(g.data(), p.data(), size, changed_gradient);
        g = {changed_gradient, size};
      }
      use(g, p, out.subspan(begin, size), tile_slots);
      for (float*& slot : tile_slots) slot += size;
    }
  }

  void Clip(const float* __restrict g, size_t size, float* __restrict out) const {
    const float limit = config_.clip_value;
    for (size_t i = 0; i < size; ++i) {
      const float above = g[i] > -limit ? g[i] : -limit;
      out[i] = above < limit ? above : limit;
    }
  }

  // `out` may be `g`.
  void AddPenalties(const float* g, const float* __restrict p, size_t size, float* out) const {
    const float l1 = config_.l1;
    const float l2 = config_.l2;
    for (size_t i = 0; i < size; ++i) {
      const float sign = static_cast<float>(p[i] > 0) - static_cast<float>(p[i] < 0);
      out[i] = (g[i] + l2 * p[i]) + l1 * sign;
    }
  }

  static void Shrink(float keep, const float* __restrict p, size_t size, float* __restrict out) {
    for (size_t i = 0; i < size; ++i) out[i] = p[i] * keep;
  }

  const RegularizedConfig config_;
  const std::unique_ptr<Optimizer> inner_;
};

}  // namespace

std::unique_ptr<Optimizer> NewRegularized(const RegularizedConfig& config,
                                          std::unique_ptr<Optimizer> inner) {
  return std::make_unique<Regularized>(config, std::move(inner));
}

}  // namespace parley
