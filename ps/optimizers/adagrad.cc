#include "ps/optimizers/adagrad.h"

#include <cmath>

namespace parley {
namespace {

class Adagrad final : public Optimizer {
 public:
  explicit Adagrad(const AdagradConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"n"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const double rounds_before = static_cast<double>(context.round - 1);
    const float step_size =
        static_cast<float>(context.learning_rate / (1 + rounds_before * config_.rate_decay));
    const float initial = config_.initial_accumulator;
    const float epsilon = config_.epsilon;

    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict n = slots[0];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const float sum = n[i] + g[i] * g[i];
      n[i] = sum;
      out[i] = p[i] - step_size * (g[i] / (std::sqrt(initial + sum) + epsilon));
    }
  }

 private:
  const AdagradConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAdagrad(const AdagradConfig& config) {
  return std::make_unique<Adagrad>(config);
}

}  // namespace parley
