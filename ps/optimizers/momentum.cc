#include "ps/optimizers/momentum.h"

namespace parley {
namespace {

class Momentum final : public Optimizer {
 public:
  explicit Momentum(const MomentumConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"v"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict v = slots[0];
    const float learning_rate = context.learning_rate;
    const float momentum = config_.momentum;
    if (config_.nesterov) {
      for (size_t i = 0; i < gradient.size(); ++i) {
        const float velocity = momentum * v[i] + g[i];
        v[i] = velocity;
        out[i] = p[i] - learning_rate * (g[i] + momentum * velocity);
      }
    } else {
      for (size_t i = 0; i < gradient.size(); ++i) {
        const float velocity = momentum * v[i] + g[i];
        v[i] = velocity;
        out[i] = p[i] - learning_rate * velocity;
      }
    }
  }

 private:
  const MomentumConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewMomentum(const MomentumConfig& config) {
  return std::make_unique<Momentum>(config);
}

}  // namespace parley
