#include "ps/optimizers/adadelta.h"

#include <cmath>

namespace parley {
namespace {

class Adadelta final : public Optimizer {
 public:
  explicit Adadelta(const AdadeltaConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"v", "u"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const float learning_rate = context.learning_rate;
    const float rho = config_.rho;
    const float rest = static_cast<float>(1 - static_cast<double>(rho));
    const float epsilon = config_.epsilon;

    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict v = slots[0];
    float* __restrict u = slots[1];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const float square = rho * v[i] + rest * (g[i] * g[i]);
      const float delta = std::sqrt(u[i] + epsilon) / std::sqrt(square + epsilon) * g[i];
      v[i] = square;
      u[i] = rho * u[i] + rest * (delta * delta);
      out[i] = p[i] - learning_rate * delta;
    }
  }

 private:
  const AdadeltaConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAdadelta(const AdadeltaConfig& config) {
  return std::make_unique<Adadelta>(config);
}

}  // namespace parley
