#include "ps/optimizers/ftrl.h"

#include <cmath>

namespace parley {
namespace {

inline float Sign(float x) { return static_cast<float>(x > 0) - static_cast<float>(x < 0); }

class Ftrl final : public Optimizer {
 public:
  explicit Ftrl(const FtrlConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override { return {"z", "n"}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const float alpha = context.learning_rate;
    const float beta = config_.beta;
    const float l1 = config_.l1;
    const float l2 = config_.l2;
    const float first = static_cast<float>(static_cast<double>(beta) / static_cast<double>(alpha) +
                                           static_cast<double>(l2));

    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    float* __restrict z = slots[0];
    float* __restrict n = slots[1];
    for (size_t i = 0; i < gradient.size(); ++i) {
      const float square = g[i] * g[i];
      const float sum = n[i] + square;
      const float root = std::sqrt(sum);
      // root - sqrt(n) without the cancellation; 0 / 0 where there was no gradient yet.
      const float grown = square / (root + std::sqrt(n[i]));
      const float old_z = n[i] == 0 ? -(p[i] * first) - Sign(p[i]) * l1 : z[i];
      const float new_z = old_z + (g[i] - grown / alpha * p[i]);
      const float value = (Sign(new_z) * l1 - new_z) / ((beta + root) / alpha + l2);
      const float shrunk = std::abs(new_z) <= l1 ? 0.0f : value;
      n[i] = sum;
      // No gradient yet: its square is zero. Not even rounding shall change the value.
      z[i] = sum == 0 ? 0.0f : new_z;
      out[i] = sum == 0 ? p[i] : shrunk;
    }
  }

 private:
  const FtrlConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewFtrl(const FtrlConfig& config) {
  return std::make_unique<Ftrl>(config);
}

}  // namespace parley
