#include "ps/optimizers/adam.h"

#include <cmath>

#include "ps/power.h"

namespace parley {
namespace {

struct Coefficients {
  float beta1, beta2, rest1, rest2, step_size, scale, epsilon;
};

// A function of its own, since of so many arrays a compiler believes only of parameters that they
// are apart.
void UpdateAmsgrad(const Coefficients& c, size_t size, const float* __restrict g,
                   const float* __restrict p, float* __restrict out, float* __restrict m,
                   float* __restrict v, float* __restrict largest_v) {
  for (size_t i = 0; i < size; ++i) {
    const float mean = c.beta1 * m[i] + c.rest1 * g[i];
    const float square = c.beta2 * v[i] + c.rest2 * (g[i] * g[i]);
    const float before = largest_v[i];
    const float largest = before > square ? before : square;
    m[i] = mean;
    v[i] = square;
    largest_v[i] = largest;
    out[i] = p[i] - c.step_size * (mean / (std::sqrt(largest) * c.scale + c.epsilon));
  }
}

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
    const double left1 = 1 - IntegerPower(config_.beta1, context.round);
    const double left2 = 1 - IntegerPower(config_.beta2, context.round);
    const float step_size = static_cast<float>(context.learning_rate / left1);
    const float scale = static_cast<float>(1 / std::sqrt(left2));
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
    if (config_.amsgrad) {
      UpdateAmsgrad({beta1, beta2, rest1, rest2, step_size, scale, epsilon}, gradient.size(), g, p,
                    out, m, v, slots[2]);
    } else {
      for (size_t i = 0; i < gradient.size(); ++i) {
        const float mean = beta1 * m[i] + rest1 * g[i];
        const float square = beta2 * v[i] + rest2 * (g[i] * g[i]);
        m[i] = mean;
        v[i] = square;
        out[i] = p[i] - step_size * (mean / (std::sqrt(square) * scale + epsilon));
      }
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
