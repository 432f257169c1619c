#include "ps/optimizers/adam.h"

#include <cmath>

namespace parley {
namespace {

class Adam final : public Optimizer {
 public:
  explicit Adam(const AdamConfig& config) : config_(config) {}

  int num_slots() const override { return 2; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const double beta1_double = config_.beta1;
    const double beta2_double = config_.beta2;
    const double t = static_cast<double>(context.round);
    const float step_size =
        static_cast<float>(config_.learning_rate / (1 - std::pow(beta1_double, t)));
    const float scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2_double, t)));
    const float beta1 = config_.beta1;
    const float beta2 = config_.beta2;
    const float rest1 = static_cast<float>(1 - beta1_double);
    const float rest2 = static_cast<float>(1 - beta2_double);
    const float epsilon = config_.epsilon;

    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict m = slots[0];
    float* __restrict v = slots[1];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const float mean = beta1 * m[i] + rest1 * g[i];
      const float square = beta2 * v[i] + rest2 * (g[i] * g[i]);
      m[i] = mean;
      v[i] = square;
      out[i] = p[i] - step_size * (mean / (std::sqrt(square) * scale + epsilon));
    }
  }

 private:
  const AdamConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAdam(const AdamConfig& config) {
  return std::make_unique<Adam>(config);
}

}  // namespace parley
