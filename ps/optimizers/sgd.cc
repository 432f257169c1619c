#include "ps/optimizers/sgd.h"

namespace parley {
namespace {

class Sgd final : public Optimizer {
 public:
  explicit Sgd(float learning_rate) : learning_rate_(learning_rate) {}

  int num_slots() const override { return 0; }

  void Update(const UpdateContext&, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const>) const override {
    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    const float learning_rate = learning_rate_;
    for (size_t i = 0; i < gradient.size(); ++i) out[i] = p[i] - learning_rate * g[i];
  }

 private:
  const float learning_rate_;
};

}  // namespace

std::unique_ptr<Optimizer> NewSgd(float learning_rate) {
  return std::make_unique<Sgd>(learning_rate);
}

}  // namespace parley
