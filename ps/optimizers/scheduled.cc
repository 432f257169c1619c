#include "ps/optimizers/scheduled.h"

#include <utility>

#include "ps/schedule.h"

namespace parley {
namespace {

class Scheduled final : public Optimizer {
 public:
  Scheduled(float learning_rate, const v1::Schedule& schedule, std::unique_ptr<Optimizer> inner)
      : learning_rate_(learning_rate), schedule_(schedule), inner_(std::move(inner)) {}

  std::vector<absl::string_view> slot_names() const override { return inner_->slot_names(); }

  void BeginSlots(absl::Span<const float> values, absl::Span<float* const> slots) const override {
    inner_->BeginSlots(values, slots);
  }

  void Prepare(const UpdateContext& context, absl::Span<const float> gradient,
               absl::Span<const float> values, absl::Span<float> prepared,
               absl::Span<float* const> slots) const override {
    inner_->Prepare(context, gradient, values, prepared, slots);  // has no rate in it
  }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    inner_->Update(WithRate(context), gradient, values, new_values, slots);
  }

  void UpdateTiles(const UpdateContext& context, GradientTiles& tiles,
                   absl::Span<const float> values, absl::Span<float> new_values,
                   absl::Span<float* const> slots) const override {
    inner_->UpdateTiles(WithRate(context), tiles, values, new_values, slots);
  }

 private:
  UpdateContext WithRate(const UpdateContext& context) const {
    UpdateContext scheduled = context;
    scheduled.learning_rate = static_cast<float>(
        learning_rate_ * ScheduleFactor(schedule_, context.round, context.rate_factor) *
        context.rate_scale);
    return scheduled;
  }

  const float learning_rate_;
  const v1::Schedule schedule_;
  const std::unique_ptr<Optimizer> inner_;
};

}  // namespace

std::unique_ptr<Optimizer> NewScheduled(float learning_rate, const v1::Schedule& schedule,
                                        std::unique_ptr<Optimizer> inner) {
  return std::make_unique<Scheduled>(learning_rate, schedule, std::move(inner));
}

}  // namespace parley
