#include "ps/optimizers/averaged.h"

#include <algorithm>
#include <utility>

namespace parley {
namespace {

class Averaged final : public Optimizer {
 public:
  Averaged(float decay, std::unique_ptr<Optimizer> inner)
      : rest_(static_cast<float>(1 - static_cast<double>(decay))), inner_(std::move(inner)) {}

  std::vector<absl::string_view> slot_names() const override {
    std::vector<absl::string_view> names = inner_->slot_names();
    names.push_back(kAverageSlot);
    return names;
  }

  void BeginSlots(absl::Span<const float> values, absl::Span<float* const> slots) const override {
    inner_->BeginSlots(values, slots.first(slots.size() - 1));
    std::copy(values.begin(), values.end(), slots.back());
  }

  void Prepare(const UpdateContext& context, absl::Span<const float> gradient,
               absl::Span<const float> values, absl::Span<float> prepared,
               absl::Span<float* const> slots) const override {
    inner_->Prepare(context, gradient, values, prepared, slots.first(slots.size() - 1));
  }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    UpdateContext inner = context;
    inner.around_caches = false;  // the values are read below
    inner_->Update(inner, gradient, values, new_values, slots.first(slots.size() - 1));
    const float* __restrict p = new_values.data();
    float* __restrict average = slots.back();
    const float rest = rest_;
    for (size_t i = 0; i < new_values.size(); ++i) average[i] += rest * (p[i] - average[i]);
  }

 private:
  const float rest_;
  const std::unique_ptr<Optimizer> inner_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAveraged(float decay, std::unique_ptr<Optimizer> inner) {
  return std::make_unique<Averaged>(decay, std::move(inner));
}

}  // namespace parley
