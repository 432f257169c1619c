#include "nn/testing/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/philox.h"
#include "nn/elementwise.h"
#include "nn/reductions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

// Central differences of fourth order, (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h, with h = 2^-10:
// they are wrong by h^4 f^(5) / 30 = 3e-14 f^(5), and rounding in float64 adds about 1e-16 |f| / h
// = 1e-13 |f|. The tests' values are bounded for every seed, so that |f| is below 1e3, and f^(5)
// below 1e6 (a normalisation of values 0.05 apart), both with room to spare under a tolerance of
// 1e-6.
constexpr double kStep = 1.0 / 1024;
constexpr double kTolerance = 1e-6;
// A float32 parameter's gradient is rounded, and summed, in float32.
constexpr double kTolerance32 = 1e-5;

double ValueAt(const Tensor& tensor, int64_t i) {
  return tensor.dtype() == DType::kFloat64 ? tensor.As<double>()[i]
                                           : static_cast<double>(tensor.As<float>()[i]);
}

void SetValueAt(const Tensor& tensor, int64_t i, double value) {
  if (tensor.dtype() == DType::kFloat64) {
    tensor.As<double>()[i] = value;
  } else {
    tensor.As<float>()[i] = static_cast<float>(value);
  }
}

// In [0, 1).
double Uniform(uint64_t seed, uint64_t stream, int64_t i) {
  return static_cast<double>(PhiloxUniform(seed, stream, static_cast<uint64_t>(i)));
}

template <typename Function>
Variable MakeParameter(const Shape& shape, const Function& value_at) {
  const Tensor value(CpuBackend(), shape, DType::kFloat64);
  for (int64_t i = 0; i < value.num_elements(); ++i) value.As<double>()[i] = value_at(i);
  return Variable::Parameter(value);
}

}  // namespace

void ExpectGradientsAgree(const std::function<Variable(const Inputs&)>& function,
                          const Inputs& inputs, uint64_t seed) {
  for (Variable input : inputs) {
    ASSERT_TRUE(input.dtype() == DType::kFloat64 || input.dtype() == DType::kFloat32);
    input.ClearGradient();
    if (input.dtype() == DType::kFloat64) continue;
    for (float& value : input.value().span()) value = std::round(value * 8192) / 8192;
  }
  const Variable y = function(inputs);
  ASSERT_EQ(y.dtype(), DType::kFloat64) << NameOf(y.dtype());
  ASSERT_TRUE(y.wants_gradient());
  const Tensor weights(y.backend(), y.shape(), DType::kFloat64);
  for (int64_t i = 0; i < weights.num_elements(); ++i) {
    weights.As<double>()[i] = 2 * Uniform(seed, 1, i) - 1;
  }
  const auto weigh = [&]() {
    const NoGradientScope no_gradient;
    const Tensor out = function(inputs).value();
    return std::inner_product(out.As<double>(), out.As<double>() + out.num_elements(),
                              weights.As<double>(), 0.0);
  };
  Backward(Sum(Multiply(y, Variable::Input(weights))));
  for (size_t which = 0; which < inputs.size(); ++which) {
    const Tensor& value = inputs[which].value();
    const Tensor& gradient = inputs[which].gradient();
    ASSERT_EQ(gradient.shape(), value.shape()) << gradient.shape().ToString();
    ASSERT_EQ(gradient.dtype(), value.dtype());
    for (int64_t i = 0; i < value.num_elements(); ++i) {
      const double before = ValueAt(value, i);
      double sum = 0;
      for (const auto& [steps, factor] :
           {std::pair<int, double>{-2, 1}, {-1, -8}, {1, 8}, {2, -1}}) {
        SetValueAt(value, i, before + steps * kStep);
        sum += factor * weigh();
      }
      SetValueAt(value, i, before);
      const double numeric = sum / (12 * kStep);
      const double tolerance = value.dtype() == DType::kFloat64 ? kTolerance : kTolerance32;
      EXPECT_NEAR(ValueAt(gradient, i), numeric, tolerance * (1 + std::fabs(numeric)))
          << "input " << which << " " << value.shape().ToString() << ", element " << i << ", seed "
          << seed;
    }
  }
}

Variable RandomParameter(const Shape& shape, uint64_t seed) {
  return MakeParameter(shape, [&](int64_t i) {
    const double size = 0.1 + 1.9 * Uniform(seed, 7, i);
    return Uniform(seed, 8, i) < 0.5 ? -size : size;
  });
}

Variable PositiveParameter(const Shape& shape, uint64_t seed) {
  return MakeParameter(shape, [&](int64_t i) { return 0.5 + 1.5 * Uniform(seed, 7, i); });
}

Variable SpreadParameter(const Shape& shape, uint64_t seed) {
  std::vector<int64_t> places(static_cast<size_t>(shape.num_elements()));
  std::iota(places.begin(), places.end(), -shape.num_elements() / 2);
  std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
  std::shuffle(places.begin(), places.end(), random);
  return MakeParameter(shape, [&](int64_t i) {
    return 0.1 * (static_cast<double>(places[static_cast<size_t>(i)]) + 0.5);
  });
}

std::vector<Shape> GradientTest::Shapes() {
  std::vector<Shape> shapes = ShapesOfRows();
  shapes.emplace_back();
  return shapes;
}

std::vector<Shape> GradientTest::ShapesOfRows() {
  return {{Size(5)},
          {1},
          {0},
          {1 + Size(3), 1 + Size(3)},
          {1, Size(4)},
          {Size(4), 1},
          {0, Size(4)},
          {Size(4), 0},
          {1 + Size(2), 1, 1 + Size(2)},
          {1 + Size(2), 1 + Size(2), 1 + Size(2)}};
}

void GradientTest::Check(const std::function<Variable(const Inputs&)>& function,
                         const Inputs& inputs) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  ExpectGradientsAgree(function, inputs, seed_);
}

}  // namespace parley::nn
