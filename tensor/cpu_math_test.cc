#include "tensor/cpu_math.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace parley {
namespace {

template <typename Function>
float Of(Function function, float x) {
  float lanes[8];
  StoreWide(lanes, function(SameLanes(x)));
  return lanes[3];
}

// Expects of floats from `low` to `high`, evenly spaced, results within 1e-6 of the value.
template <typename Function, typename Definition>
void ExpectAccurate(Function function, Definition definition, float low, float high,
                    double smallest = 0) {
  constexpr int kSteps = 200000;
  double worst = 0;
  float where = low;
  for (int i = 0; i <= kSteps; ++i) {
    const float x = low + (high - low) * static_cast<float>(i) / kSteps;
    const double want = definition(static_cast<double>(x));
    const double error = std::fabs(static_cast<double>(Of(function, x)) - want) /
                         std::max(std::fabs(want), smallest);
    if (want != 0 && !(error <= worst)) {
      worst = error;
      where = x;
    }
  }
  EXPECT_LT(worst, 1e-6) << "at " << where;
}

TEST(CpuMathTest, IsAccurate) {
  const auto exp = [](__m256 v) { return Exp(v); };
  const auto log = [](__m256 v) { return Log(v); };
  const auto log1p = [](__m256 v) { return Log1p(v); };
  const auto tanh = [](__m256 v) { return Tanh(v); };
  ExpectAccurate(
      exp, [](double v) { return std::exp(v); }, -87, 88.7f);
  ExpectAccurate(
      exp, [](double v) { return std::exp(v); }, -0.01f, 0.01f);
  ExpectAccurate(
      log, [](double v) { return std::log(v); }, 1e-6f, 0.9f);
  ExpectAccurate(
      log, [](double v) { return std::log(v); }, 1.1f, 1e6f);
  ExpectAccurate(
      log, [](double v) { return std::log(v); }, 0.9f, 1.1f, 0.01);
  ExpectAccurate(
      log1p, [](double v) { return std::log1p(v); }, 0, 1);
  ExpectAccurate(
      log1p, [](double v) { return std::log1p(v); }, 0, 1e-5f);
  ExpectAccurate(
      tanh, [](double v) { return std::tanh(v); }, -10, 10);
  ExpectAccurate(
      tanh, [](double v) { return std::tanh(v); }, -0.01f, 0.01f);
  ExpectAccurate([](__m256 v) { return Erf(v); }, [](double v) { return std::erf(v); }, -5, 5, 1);
  ExpectAccurate([](__m256 v) { return Sigmoid(v); },
                 [](double v) { return 1 / (1 + std::exp(-v)); }, -80, 80);
}

TEST(CpuMathTest, ExpEndsWhereFloatsEnd) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto exp = [](float x) { return Of([](__m256 v) { return Exp(v); }, x); };
  EXPECT_EQ(exp(-kInfinity), 0);
  EXPECT_EQ(exp(-104), 0);
  EXPECT_EQ(exp(88.8f), kInfinity);
  EXPECT_EQ(exp(kInfinity), kInfinity);
  EXPECT_EQ(exp(0), 1);
  EXPECT_TRUE(std::isnan(exp(std::nanf(""))));
  EXPECT_NEAR(exp(-100) / std::exp(-100.0), 1, 0.02);  // denormal
}

// As vectors, and as what is left of one.
TEST(CpuLanesTest, SumsAndMapsDoNotDependOnTheLength) {
  float values[100], doubled[100] = {};
  for (int i = 0; i < 100; ++i) values[i] = static_cast<float>(i + 1);
  for (int64_t count = 0; count <= 99; ++count) {
    EXPECT_EQ(SumLanes<float>(count, [&](int64_t i, auto at) { return Load(values + i, at); }),
              static_cast<double>(count * (count + 1) / 2));
    doubled[count] = -1;
    MapLanes(
        count, Write::kReplace, doubled, [](__m256 v) { return v + v; },
        static_cast<const float*>(values));
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(doubled[i], 2 * values[i]);
    EXPECT_EQ(doubled[count], -1) << "beyond the end of " << count;
  }
}

}  // namespace
}  // namespace parley
