#include "ps/optimizers/sgd.h"

namespace parley {
namespace {

class Sgd final : public Optimizer {
 public:
  std::vector<absl::string_view> slot_names() const override { return {}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const>) const override {
    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    const float learning_rate = context.learning_rate;
    for (size_t i = 0; i < gradient.size(); ++i) out[i] = p[i] - learning_rate * g[i];
  }
};

}  // namespace

std::unique_ptr<Optimizer> NewSgd() { return std::make_unique<Sgd>(); }

}  // namespace parley
