#include "ps/optimizers/adam.h"

#include <cmath>

#include "ps/optimizers/adam_loop.h"
#include "ps/power.h"

namespace parley {
namespace {

class Adam final : public Optimizer {
 public:
  explicit Adam(const AdamConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override {
    if (config_.amsgrad) return {"m", "v", "largest_v"};
    return {"m", "v"};
  }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    loop_.update(CoefficientsOf(context),
                 {gradient.data(), values.data(), new_values.data(), slots[0], slots[1],
                  config_.amsgrad ? slots[2] : nullptr},
                 gradient.size());
  }

  void UpdateTiles(const UpdateContext& context, GradientTiles& tiles,
                   absl::Span<const float> values, absl::Span<float> new_values,
                   absl::Span<float* const> slots) const override {
    const AdamCoefficients coefficients = CoefficientsOf(context);
    for (size_t i = 0;;) {
      AdamArrays arrays = {
          nullptr,      values.data() + i, new_values.data() + i,
          slots[0] + i, slots[1] + i,      config_.amsgrad ? slots[2] + i : nullptr};
      absl::optional<GradientTiles::Parts> parts;
      if (!config_.amsgrad) parts = tiles.NextParts();
      if (parts.has_value()) {
        loop_.reduce(coefficients, arrays, parts->arrays, parts->factor, parts->size);
        i += parts->size;
        continue;
      }
      const absl::Span<const float> g = tiles.Next();
      if (g.empty()) return;
      arrays.gradient = g.data();
      loop_.update(coefficients, arrays, g.size());
      i += g.size();
    }
  }

 private:
  AdamCoefficients CoefficientsOf(const UpdateContext& context) const {
    const double left1 = 1 - IntegerPower(config_.beta1, context.round);
    const double left2 = 1 - IntegerPower(config_.beta2, context.round);
    AdamCoefficients coefficients;
    coefficients.beta1 = config_.beta1;
    coefficients.beta2 = config_.beta2;
    coefficients.rest1 = static_cast<float>(1 - static_cast<double>(config_.beta1));
    coefficients.rest2 = static_cast<float>(1 - static_cast<double>(config_.beta2));
    coefficients.step_size = static_cast<float>(context.learning_rate / left1);
    coefficients.scale = static_cast<float>(1 / std::sqrt(left2));
    coefficients.epsilon = config_.epsilon;
    return coefficients;
  }

  const AdamConfig config_;
  const AdamLoop loop_ = AdamLoops().back();
};

}  // namespace

std::unique_ptr<Optimizer> NewAdam(const AdamConfig& config) {
  return std::make_unique<Adam>(config);
}

}  // namespace parley
