#include "ps/optimizers/adam.h"

#include <cmath>

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
      float* __restrict largest_v = slots[2];
      for (size_t i = 0; i < gradient.size(); ++i) {
        const float mean = beta1 * m[i] + rest1 * g[i];
        const float square = beta2 * v[i] + rest2 * (g[i] * g[i]);
        const float largest = largest_v[i] > square ? largest_v[i] : square;
        m[i] = mean;
        v[i] = square;
        largest_v[i] = largest;
        out[i] = p[i] - step_size * (mean / (std::sqrt(largest) * scale + epsilon));
      }
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
