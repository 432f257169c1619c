#include "ps/optimizers/lion.h"

namespace parley {
namespace {

class Lion final : public Optimizer {
 public:
  explicit Lion(const LionConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"m"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const float learning_rate = context.learning_rate;
    const float beta1 = config_.beta1;
    const float beta2 = config_.beta2;
    const float rest1 = static_cast<float>(1 - static_cast<double>(beta1));
    const float rest2 = static_cast<float>(1 - static_cast<double>(beta2));

    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict m = slots[0];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const float mix = beta1 * m[i] + rest1 * g[i];
      const float sign = static_cast<float>(mix > 0) - static_cast<float>(mix < 0);
      m[i] = beta2 * m[i] + rest2 * g[i];
      out[i] = p[i] - learning_rate * sign;
    }
  }

 private:
  const LionConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewLion(const LionConfig& config) {
  return std::make_unique<Lion>(config);
}

}  // namespace parley
