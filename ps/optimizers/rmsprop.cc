#include "ps/optimizers/rmsprop.h"

#include <cmath>

namespace parley {
namespace {

class Rmsprop final : public Optimizer {
 public:
  explicit Rmsprop(const RmspropConfig& config) : config_(config) {}

  std::vector<absl::string_view> slot_names() const override {
    std::vector<absl::string_view> names = {"v"};
    if (config_.centered) names.push_back("mean");
    if (config_.momentum > 0) names.push_back("velocity");
    return names;
  }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const size_t size = gradient.size();
    const float* __restrict g = gradient.data();
    // What g is divided by is kept in the new values, then d: a tile stays in the first-level
    // cache.
    float* __restrict d = new_values.data();
    float* __restrict v = slots[0];
    const float alpha = config_.alpha;
    const float rest = static_cast<float>(1 - static_cast<double>(alpha));
    const float epsilon = config_.epsilon;
    if (config_.centered) {
      float* __restrict mean = slots[1];
      for (size_t i = 0; i < size; ++i) {
        const float square = alpha * v[i] + rest * (g[i] * g[i]);
        const float average = alpha * mean[i] + rest * g[i];
        const float variance = square - average * average;
        v[i] = square;
        mean[i] = average;
        d[i] = g[i] / (std::sqrt(variance > 0 ? variance : 0.0f) + epsilon);
      }
    } else {
      for (size_t i = 0; i < size; ++i) {
        const float square = alpha * v[i] + rest * (g[i] * g[i]);
        v[i] = square;
        d[i] = g[i] / (std::sqrt(square) + epsilon);
      }
    }

    const float* __restrict p = values.data();
    const float learning_rate = context.learning_rate;
    const float momentum = config_.momentum;
    if (momentum > 0) {
      float* __restrict velocity = slots[config_.centered ? 2 : 1];
      for (size_t i = 0; i < size; ++i) {
        const float next = momentum * velocity[i] + d[i];
        velocity[i] = next;
        d[i] = p[i] - learning_rate * next;
      }
    } else {
      for (size_t i = 0; i < size; ++i) d[i] = p[i] - learning_rate * d[i];
    }
  }

 private:
  const RmspropConfig config_;
};

}  // namespace

std::unique_ptr<Optimizer> NewRmsprop(const RmspropConfig& config) {
  return std::make_unique<Rmsprop>(config);
}

}  // namespace parley
