#include "ps/optimizers/accumulated.h"

#include <algorithm>
#include <utility>

namespace parley {
namespace {

class Accumulated final : public Optimizer {
 public:
  Accumulated(int rounds, std::unique_ptr<Optimizer> inner)
      : rounds_(rounds), inner_(std::move(inner)) {}

  std::vector<absl::string_view> slot_names() const override {
    std::vector<absl::string_view> names = inner_->slot_names();
    names.push_back("sum");
    return names;
  }

  void BeginSlots(absl::Span<const float> values, absl::Span<float* const> slots) const override {
    inner_->BeginSlots(values, slots.first(slots.size() - 1));
  }

  void Prepare(const UpdateContext& context, absl::Span<const float> gradient,
               absl::Span<const float> values, absl::Span<float> prepared,
               absl::Span<float* const> slots) const override {
    float* const sum = slots.back();
    CloseSum(gradient, sum);
    inner_->Prepare(Every(context), {sum, gradient.size()}, values, prepared,
                    slots.first(slots.size() - 1));
    std::fill(sum, sum + gradient.size(), 0.0f);
  }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    float* const sum = slots.back();
    const absl::Span<float* const> inner_slots = slots.first(slots.size() - 1);
    if (!context.norms.empty()) {
      return inner_->Update(Every(context), gradient, values, new_values, inner_slots);
    }
    if (context.round % rounds_ != 0) {
      Add(gradient.data(), gradient.size(), sum);
      std::copy(values.begin(), values.end(), new_values.begin());
      return;
    }
    CloseSum(gradient, sum);
    inner_->Update(Every(context), {sum, gradient.size()}, values, new_values, inner_slots);
    std::fill(sum, sum + gradient.size(), 0.0f);
  }

 private:
  UpdateContext Every(const UpdateContext& context) const {
    UpdateContext every = context;
    every.round = context.round / rounds_;
    return every;
  }

  static void Add(const float* __restrict g, size_t size, float* __restrict sum) {
    for (size_t i = 0; i < size; ++i) sum[i] += g[i];
  }

  // Makes of `sum` the mean over the rounds, of which `gradient` is the last.
  void CloseSum(absl::Span<const float> gradient, float* __restrict sum) const {
    const float* __restrict g = gradient.data();
    const float factor = 1.0f / static_cast<float>(rounds_);
    for (size_t i = 0; i < gradient.size(); ++i) sum[i] = (sum[i] + g[i]) * factor;
  }

  const int rounds_;
  const std::unique_ptr<Optimizer> inner_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAccumulated(int rounds, std::unique_ptr<Optimizer> inner) {
  return std::make_unique<Accumulated>(rounds, std::move(inner));
}

}  // namespace parley
