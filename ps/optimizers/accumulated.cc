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

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    const float* __restrict g = gradient.data();
    float* __restrict sum = slots.back();
    if (context.round % rounds_ != 0) {
      for (size_t i = 0; i < gradient.size(); ++i) sum[i] += g[i];
      std::copy(values.begin(), values.end(), new_values.begin());
      return;
    }
    const float factor = 1.0f / static_cast<float>(rounds_);
    for (size_t i = 0; i < gradient.size(); ++i) sum[i] = (sum[i] + g[i]) * factor;
    UpdateContext every = context;
    every.round = context.round / rounds_;
    inner_->Update(every, {sum, gradient.size()}, values, new_values,
                   slots.first(slots.size() - 1));
    std::fill(sum, sum + gradient.size(), 0.0f);
  }

 private:
  const int rounds_;
  const std::unique_ptr<Optimizer> inner_;
};

}  // namespace

std::unique_ptr<Optimizer> NewAccumulated(int rounds, std::unique_ptr<Optimizer> inner) {
  return std::make_unique<Accumulated>(rounds, std::move(inner));
}

}  // namespace parley
