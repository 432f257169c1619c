#include "ps/optimizers/nadam.h"

#include <algorithm>
#include <cmath>

#include "ps/power.h"

namespace parley {
namespace {

class Nadam final : public Optimizer {
 public:
  explicit Nadam(const NadamConfig& config)
      : config_(config), decay_(Power(0.96, std::min<double>(config.momentum_decay, 1e4))) {
    // Below this, one minus the product is one.
    constexpr double kNegligible = 0x1p-60;
    for (double product = 1; product > kNegligible;) {
      product *= Momentum(static_cast<int64_t>(products_.size()) + 1);
      products_.push_back(product);
    }
  }

  std::vector<absl::string_view> slot_names() const override { return {"m", "v"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const double left = 1 - Product(context.round);
    const double next_left = 1 - Product(context.round + 1);
    const double rate = context.learning_rate;
    const float g_step = static_cast<float>(rate * (1 - Momentum(context.round)) / left);
    const float m_step = static_cast<float>(rate * Momentum(context.round + 1) / next_left);
    const float scale =
        static_cast<float>(1 / std::sqrt(1 - IntegerPower(config_.beta2, context.round)));
    const float beta1 = config_.beta1;
    const float beta2 = config_.beta2;
    const float rest1 = static_cast<float>(1 - static_cast<double>(beta1));
    const float rest2 = static_cast<float>(1 - static_cast<double>(beta2));
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
      out[i] = p[i] - (g_step * g[i] + m_step * mean) / (std::sqrt(square) * scale + epsilon);
    }
  }

 private:
  // The formula's b(t).
  double Momentum(int64_t round) const {
    return config_.beta1 * (1 - 0.5 * IntegerPower(decay_, round));
  }

  // The formula's B(t), a product of t factors, looked up: an update would take time that grows
  // with the round.
  double Product(int64_t round) const {
    return static_cast<size_t>(round) <= products_.size() ? products_[round - 1] : 0.0;
  }

  const NadamConfig config_;
  const double decay_;            // of the formula's 0.96^(t * momentum_decay), from t to t + 1
  std::vector<double> products_;  // of rounds 1, 2, ... while it is not negligible
};

}  // namespace

std::unique_ptr<Optimizer> NewNadam(const NadamConfig& config) {
  return std::make_unique<Nadam>(config);
}

}  // namespace parley
