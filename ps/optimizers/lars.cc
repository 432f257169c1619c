#include "ps/optimizers/lars.h"

#include <algorithm>

namespace parley {
namespace {

class Lars final : public Optimizer {
 public:
  explicit Lars(const LarsConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"v"}; }

  void Prepare(const UpdateContext&, absl::Span<const float> gradient, absl::Span<const float>,
               absl::Span<float> prepared, absl::Span<float* const>) const override {
    std::copy(gradient.begin(), gradient.end(), prepared.begin());
  }

  void Update(const UpdateContext& context, absl::Span<const float> prepared,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const double p_norm = context.norms[0];
    const double g_norm = context.norms[1];
    const double trust = p_norm > 0 && g_norm > 0 ? config_.coefficient * p_norm /
                                                        (g_norm + config_.weight_decay * p_norm)
                                                  : 1;
    const float rate = static_cast<float>(context.learning_rate * trust);
    const float momentum = config_.momentum;
    const float weight_decay = config_.weight_decay;
    const float* __restrict g = prepared.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict v = slots[0];
    for (size_t i = 0; i < values.size(); ++i) {
      const float velocity = momentum * v[i] + rate * (g[i] + weight_decay * p[i]);
      v[i] = velocity;
      out[i] = p[i] - velocity;
    }
  }

 private:
  const LarsConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewLars(const LarsConfig& config) {
  return std::make_unique<Lars>(config);
}

}  // namespace parley
