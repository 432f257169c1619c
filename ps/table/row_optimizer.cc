#include "ps/table/row_optimizer.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "ps/power.h"

namespace parley {
namespace {

float OrDefault(float value, float otherwise) { return value == 0 ? otherwise : value; }

// Loops of their own over one row, since of so many arrays a compiler believes only of parameters
// that they are apart.

void SgdRow(float rate, int width, const float* __restrict g, float* __restrict p) {
  for (int i = 0; i < width; ++i) p[i] -= rate * g[i];
}

class Sgd final : public RowOptimizer {
 public:
  Sgd(float rate, int width) : rate_(rate), width_(width) {}

  int state_floats() const override { return 0; }
  void Update(int64_t, absl::Span<const Row> rows) const override {
    for (const Row& row : rows) SgdRow(rate_, width_, row.gradient, row.values);
  }

 private:
  const float rate_;
  const int width_;
};

void AdagradRow(float rate, float initial, float epsilon, int width, const float* __restrict g,
                float* __restrict p, float* __restrict n) {
  for (int i = 0; i < width; ++i) {
    const float sum = n[i] + g[i] * g[i];
    n[i] = sum;
    p[i] -= rate * (g[i] / (std::sqrt(initial + sum) + epsilon));
  }
}

// State: n of each element.
class Adagrad final : public RowOptimizer {
 public:
  Adagrad(const v1::RowOptimizer& spec, int width)
      : rate_(spec.learning_rate()),
        initial_(spec.adagrad().initial_accumulator()),
        epsilon_(OrDefault(spec.adagrad().epsilon(), 1e-10f)),
        width_(width) {}

  int state_floats() const override { return width_; }
  void Update(int64_t, absl::Span<const Row> rows) const override {
    for (const Row& row : rows) {
      AdagradRow(rate_, initial_, epsilon_, width_, row.gradient, row.values, row.state);
    }
  }

 private:
  const float rate_;
  const float initial_;
  const float epsilon_;
  const int width_;
};

// The mean square, summed in eight lanes and these in pairs: one order for every machine.
float MeanSquare(int width, const float* __restrict g) {
  constexpr int kLanes = 8;
  float lanes[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lanes[j] += g[i + j] * g[i + j];
  }
  for (int j = 0; i < width; ++i, ++j) lanes[j] += g[i] * g[i];
  for (int step = kLanes / 2; step > 0; step /= 2) {
    for (int j = 0; j < step; ++j) lanes[j] += lanes[j + step];
  }
  return lanes[0] / static_cast<float>(width);
}

// State: the row's n.
class RowwiseAdagrad final : public RowOptimizer {
 public:
  RowwiseAdagrad(const v1::RowOptimizer& spec, int width)
      : rate_(spec.learning_rate()),
        initial_(spec.rowwise_adagrad().initial_accumulator()),
        epsilon_(OrDefault(spec.rowwise_adagrad().epsilon(), 1e-10f)),
        width_(width) {}

  int state_floats() const override { return 1; }
  void Update(int64_t, absl::Span<const Row> rows) const override {
    for (const Row& row : rows) {
      const float sum = row.state[0] + MeanSquare(width_, row.gradient);
      row.state[0] = sum;
      const float divisor = std::sqrt(initial_ + sum) + epsilon_;
      Divided(divisor, row.gradient, row.values);
    }
  }

 private:
  void Divided(float divisor, const float* __restrict g, float* __restrict p) const {
    for (int i = 0; i < width_; ++i) p[i] -= rate_ * (g[i] / divisor);
  }

  const float rate_;
  const float initial_;
  const float epsilon_;
  const int width_;
};

struct AdamStep {
  float size;   // learning_rate / (1 - beta1^t)
  float scale;  // 1 / sqrt(1 - beta2^t)
};

void AdamRow(float beta1, float beta2, float epsilon, AdamStep step, int width,
             const float* __restrict g, float* __restrict p, float* __restrict m,
             float* __restrict v) {
  const float rest1 = static_cast<float>(1 - static_cast<double>(beta1));
  const float rest2 = static_cast<float>(1 - static_cast<double>(beta2));
  for (int i = 0; i < width; ++i) {
    const float mean = beta1 * m[i] + rest1 * g[i];
    const float square = beta2 * v[i] + rest2 * (g[i] * g[i]);
    m[i] = mean;
    v[i] = square;
    p[i] -= step.size * (mean / (std::sqrt(square) * step.scale + epsilon));
  }
}

// State: m, then v, of each element; then, unless it is lazy, the number of the row's updates, as
// an integer.
class Adam final : public RowOptimizer {
 public:
  Adam(float rate, const v1::Adam& spec, bool lazy, int width)
      : rate_(rate),
        beta1_(OrDefault(spec.beta1(), 0.9f)),
        beta2_(OrDefault(spec.beta2(), 0.999f)),
        epsilon_(OrDefault(spec.epsilon(), 1e-8f)),
        lazy_(lazy),
        width_(width) {
    if (lazy_) return;
    for (int64_t t = 0; t < kSteps; ++t) steps_.push_back(StepAt(t));
  }

  int state_floats() const override { return 2 * width_ + (lazy_ ? 0 : 1); }
  void Update(int64_t round, absl::Span<const Row> rows) const override {
    const AdamStep shared = StepAt(round);
    for (const Row& row : rows) {
      const AdamStep step = lazy_ ? shared : NextStep(row.state + 2 * width_);
      AdamRow(beta1_, beta2_, epsilon_, step, width_, row.gradient, row.values, row.state,
              row.state + width_);
    }
  }

 private:
  static constexpr int64_t kSteps = 1024;  // kept ready

  AdamStep StepAt(int64_t t) const {
    const double part1 = 1 - IntegerPower(static_cast<double>(beta1_), t);
    const double part2 = 1 - IntegerPower(static_cast<double>(beta2_), t);
    return {static_cast<float>(static_cast<double>(rate_) / part1),
            static_cast<float>(1 / std::sqrt(part2))};
  }

  AdamStep NextStep(float* updates) const {
    uint32_t t;
    std::memcpy(&t, updates, sizeof(t));
    if (t != 0xffffffff) ++t;
    std::memcpy(updates, &t, sizeof(t));
    return t < kSteps ? steps_[t] : StepAt(t);
  }

  const float rate_;
  const float beta1_;
  const float beta2_;
  const float epsilon_;
  const bool lazy_;
  const int width_;
  std::vector<AdamStep> steps_;  // by t; constant after construction
};

struct FtrlNumbers {
  float alpha;
  float beta;
  float l1;
  float l2;
  float first;  // beta / alpha + l2
};

float Sign(float x) { return static_cast<float>(x > 0) - static_cast<float>(x < 0); }

// As in ps/optimizers/ftrl.cc: z begins where it gives the row's first values.
void FtrlRow(const FtrlNumbers& numbers, int width, const float* __restrict g, float* __restrict p,
             float* __restrict z, float* __restrict n) {
  const FtrlNumbers c = numbers;
  for (int i = 0; i < width; ++i) {
    const float square = g[i] * g[i];
    const float sum = n[i] + square;
    const float root = std::sqrt(sum);
    // root - sqrt(n) without the cancellation; 0 / 0 where there was no gradient yet.
    const float grown = square / (root + std::sqrt(n[i]));
    const float old_z = n[i] == 0 ? -(p[i] * c.first) - Sign(p[i]) * c.l1 : z[i];
    const float new_z = old_z + (g[i] - grown / c.alpha * p[i]);
    const float value = (Sign(new_z) * c.l1 - new_z) / ((c.beta + root) / c.alpha + c.l2);
    const float shrunk = std::abs(new_z) <= c.l1 ? 0.0f : value;
    n[i] = sum;
    z[i] = sum == 0 ? 0.0f : new_z;
    p[i] = sum == 0 ? p[i] : shrunk;
  }
}

// State: z, then n, of each element.
class Ftrl final : public RowOptimizer {
 public:
  Ftrl(const v1::RowOptimizer& spec, int width) : width_(width) {
    numbers_.alpha = spec.learning_rate();
    numbers_.beta = OrDefault(spec.ftrl().beta(), 1.0f);
    numbers_.l1 = spec.ftrl().l1();
    numbers_.l2 = spec.ftrl().l2();
    numbers_.first = static_cast<float>(static_cast<double>(numbers_.beta) /
                                            static_cast<double>(numbers_.alpha) +
                                        static_cast<double>(numbers_.l2));
  }

  int state_floats() const override { return 2 * width_; }
  void Update(int64_t, absl::Span<const Row> rows) const override {
    for (const Row& row : rows) {
      FtrlRow(numbers_, width_, row.gradient, row.values, row.state, row.state + width_);
    }
  }

 private:
  FtrlNumbers numbers_;
  const int width_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RowOptimizer>> NewRowOptimizer(const v1::RowOptimizer& spec,
                                                              int width) {
  const float rate = spec.learning_rate();
  switch (spec.kind_case()) {
    case v1::RowOptimizer::kSgd:
      return std::make_unique<Sgd>(rate, width);
    case v1::RowOptimizer::kAdagrad:
      return std::make_unique<Adagrad>(spec, width);
    case v1::RowOptimizer::kRowwiseAdagrad:
      return std::make_unique<RowwiseAdagrad>(spec, width);
    case v1::RowOptimizer::kAdam:
      return std::make_unique<Adam>(rate, spec.adam(), /*lazy=*/false, width);
    case v1::RowOptimizer::kLazyAdam:
      return std::make_unique<Adam>(rate, spec.lazy_adam(), /*lazy=*/true, width);
    case v1::RowOptimizer::kFtrl:
      return std::make_unique<Ftrl>(spec, width);
    case v1::RowOptimizer::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a table's optimizer has no kind, or one not known here");
}

}  // namespace parley
