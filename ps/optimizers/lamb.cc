#include "ps/optimizers/lamb.h"

#include <cmath>

#include "ps/power.h"

namespace parley {
namespace {

struct Coefficients {
  float beta1, beta2, rest1, rest2, mean_scale, square_scale, epsilon, weight_decay;
};

void UpdateMoments(const Coefficients& c, size_t size, const float* __restrict g,
                   const float* __restrict p, float* __restrict r, float* __restrict m,
                   float* __restrict v) {
  for (size_t i = 0; i < size; ++i) {
    const float mean = c.beta1 * m[i] + c.rest1 * g[i];
    const float square = c.beta2 * v[i] + c.rest2 * (g[i] * g[i]);
    m[i] = mean;
    v[i] = square;
    r[i] = (mean * c.mean_scale) / (std::sqrt(square) * c.square_scale + c.epsilon) +
           c.weight_decay * p[i];
  }
}

class Lamb final : public Optimizer {
 public:
  explicit Lamb(const LambConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"m", "v"}; }

  void Prepare(const UpdateContext& context, absl::Span<const float> gradient,
               absl::Span<const float> values, absl::Span<float> prepared,
               absl::Span<float* const> slots) const override {
    const double left1 = 1 - IntegerPower(config_.beta1, context.round);
    const double left2 = 1 - IntegerPower(config_.beta2, context.round);
    Coefficients c;
    c.beta1 = config_.beta1;
    c.beta2 = config_.beta2;
    c.rest1 = static_cast<float>(1 - static_cast<double>(config_.beta1));
    c.rest2 = static_cast<float>(1 - static_cast<double>(config_.beta2));
    c.mean_scale = static_cast<float>(1 / left1);
    c.square_scale = static_cast<float>(1 / std::sqrt(left2));
    c.epsilon = config_.epsilon;
    c.weight_decay = config_.weight_decay;
    UpdateMoments(c, gradient.size(), gradient.data(), values.data(), prepared.data(), slots[0],
                  slots[1]);
  }

  void Update(const UpdateContext& context, absl::Span<const float> prepared,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const>) const override {
    const double p_norm = context.norms[0];
    const double r_norm = context.norms[1];
    const double trust = p_norm > 0 && r_norm > 0 ? p_norm / r_norm : 1;
    const float step_size = static_cast<float>(context.learning_rate * trust);
    const float* __restrict r = prepared.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    for (size_t i = 0; i < values.size(); ++i) out[i] = p[i] - step_size * r[i];
  }

 private:
  const LambConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewLamb(const LambConfig& config) {
  return std::make_unique<Lamb>(config);
}

}  // namespace parley
