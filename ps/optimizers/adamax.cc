#include "ps/optimizers/adamax.h"

#include <cmath>

#include "ps/power.h"

namespace parley {
namespace {

class Adamax final : public Optimizer {
 public:
  explicit Adamax(const AdamaxConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"m", "u"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const float step_size = static_cast<float>(context.learning_rate /
                                               (1 - IntegerPower(config_.beta1, context.round)));
    const float beta1 = config_.beta1;
    const float beta2 = config_.beta2;
    const float rest1 = static_cast<float>(1 - static_cast<double>(beta1));
    const float epsilon = config_.epsilon;

    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict m = slots[0];
    float* __restrict u = slots[1];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const float mean = beta1 * m[i] + rest1 * g[i];
      const float decayed = beta2 * u[i];
      const float magnitude = std::abs(g[i]) + epsilon;
      const float largest = decayed > magnitude ? decayed : magnitude;
      m[i] = mean;
      u[i] = largest;
      out[i] = p[i] - step_size * (mean / largest);
    }
  }

 private:
  const AdamaxConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAdamax(const AdamaxConfig& config) {
  return std::make_unique<Adamax>(config);
}

}  // namespace parley
