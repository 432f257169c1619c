#ifndef PARLEY_TESTS_TOY_TASK_H_
#define PARLEY_TESTS_TOY_TASK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "worker/trainer.h"

namespace parley {

// Of its parameters.
constexpr int kToySizes[] = {7, 300};

inline float Target(int worker, int64_t step, size_t element) {
  return static_cast<float>(
      PhiloxUniform(static_cast<uint64_t>(worker), static_cast<uint64_t>(step), element));
}

// Half the squared distance to a target that every worker has another of in every step.
class ToyTask : public TrainingTask {
 public:
  explicit ToyTask(int worker) : worker_(worker) {}

  std::vector<v1::ParameterSpec> Parameters() const override {
    std::vector<v1::ParameterSpec> parameters;
    for (const int size : kToySizes) {
      v1::ParameterSpec parameter;
      parameter.set_name(absl::StrCat("p", size));
      parameter.add_shape(size);
      parameter.set_dtype(v1::FLOAT32);
      parameter.mutable_initializer()->mutable_constant()->set_value(0.5f);
      parameters.push_back(parameter);
    }
    return parameters;
  }
  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients, int64_t) override {
    parameters_.assign(parameters.begin(), parameters.end());
    gradients_.assign(gradients.begin(), gradients.end());
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady) override {
    if (on_step) on_step(step);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      for (size_t j = 0; j < parameters_[i].size(); ++j) {
        gradients_[i][j] = parameters_[i][j] - Target(worker_, step, j);
      }
    }
    return StepResult{0, 1, 0};
  }
  absl::StatusOr<Evaluation> Evaluate() override { return Evaluation{}; }

  std::function<void(int64_t)> on_step;

 protected:
  const int worker_;

 private:
  std::vector<absl::Span<float>> parameters_, gradients_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_TOY_TASK_H_
