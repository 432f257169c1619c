// Each row optimizer against its formulas in proto/job.proto, written plainly in float64.
#include "ps/table/row_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"

namespace parley {
namespace {

using Doubles = std::vector<double>;

struct Reference {
  std::string spec;
  // Changes p by g, the row's update `t` from 1, in the table's round; `a` and `b` begin as zeros.
  std::function<void(int t, int round, const Doubles& g, Doubles& p, Doubles& a, Doubles& b)>
      update;
};

void PrintTo(const Reference& reference, std::ostream* out) { *out << reference.spec; }

double Sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

void AdamUpdate(double rate, double beta1, double beta2, double epsilon, int t, const Doubles& g,
                Doubles& p, Doubles& m, Doubles& v) {
  for (size_t i = 0; i < g.size(); ++i) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    p[i] -= rate * (m[i] / (1 - std::pow(beta1, t))) /
            (std::sqrt(v[i] / (1 - std::pow(beta2, t))) + epsilon);
  }
}

std::vector<Reference> References() {
  return {
      {"learning_rate: 0.1 sgd {}",
       [](int, int, const Doubles& g, Doubles& p, Doubles&, Doubles&) {
         for (size_t i = 0; i < g.size(); ++i) p[i] -= 0.1 * g[i];
       }},
      {"learning_rate: 0.1 adagrad { initial_accumulator: 0.1 }",
       [](int, int, const Doubles& g, Doubles& p, Doubles& n, Doubles&) {
         for (size_t i = 0; i < g.size(); ++i) {
           n[i] += g[i] * g[i];
           p[i] -= 0.1 * g[i] / (std::sqrt(0.1 + n[i]) + 1e-10);
         }
       }},
      {"learning_rate: 0.1 rowwise_adagrad { initial_accumulator: 0.2 epsilon: 0.01 }",
       [](int, int, const Doubles& g, Doubles& p, Doubles& n, Doubles&) {
         double squares = 0;
         for (const double each : g) squares += each * each;
         n[0] += squares / static_cast<double>(g.size());
         for (size_t i = 0; i < g.size(); ++i) p[i] -= 0.1 * g[i] / (std::sqrt(0.2 + n[0]) + 0.01);
       }},
      {"learning_rate: 0.05 adam {}",
       [](int t, int, const Doubles& g, Doubles& p, Doubles& m, Doubles& v) {
         AdamUpdate(0.05, 0.9, 0.999, 1e-8, t, g, p, m, v);
       }},
      {"learning_rate: 0.05 lazy_adam { beta1: 0.8 beta2: 0.99 epsilon: 1e-6 }",
       [](int, int round, const Doubles& g, Doubles& p, Doubles& m, Doubles& v) {
         AdamUpdate(0.05, 0.8, 0.99, 1e-6, round, g, p, m, v);
       }},
      {"learning_rate: 0.2 ftrl { beta: 0.5 l1: 0.02 l2: 0.1 }",
       [](int t, int, const Doubles& g, Doubles& p, Doubles& z, Doubles& n) {
         const double alpha = 0.2, beta = 0.5, l1 = 0.02, l2 = 0.1;
         for (size_t i = 0; i < g.size(); ++i) {
           // Begins where it gives the first values.
           if (t == 1) z[i] = -p[i] * (beta / alpha + l2) - Sign(p[i]) * l1;
           const double sigma = (std::sqrt(n[i] + g[i] * g[i]) - std::sqrt(n[i])) / alpha;
           z[i] += g[i] - sigma * p[i];
           n[i] += g[i] * g[i];
           p[i] = std::abs(z[i]) <= l1
                      ? 0
                      : -(z[i] - Sign(z[i]) * l1) / ((beta + std::sqrt(n[i])) / alpha + l2);
         }
       }},
  };
}

class RowOptimizerTest : public ::testing::TestWithParam<Reference> {
 protected:
  static std::unique_ptr<RowOptimizer> New(int width) {
    v1::RowOptimizer spec;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(GetParam().spec, &spec));
    auto optimizer = NewRowOptimizer(spec, width);
    EXPECT_TRUE(optimizer.ok()) << optimizer.status();
    return *std::move(optimizer);
  }
};

TEST_P(RowOptimizerTest, FollowsTheFormulas) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  for (const size_t width : {1, 3, 8, 19}) {
    const std::unique_ptr<RowOptimizer> optimizer = New(static_cast<int>(width));
    std::vector<float> p(width), g(width);
    std::vector<float> state(static_cast<size_t>(optimizer->state_floats()), 0.0f);
    for (float& value : p) value = normal(random);
    Doubles expected(p.begin(), p.end()), a(width, 0), b(width, 0);
    int round = 0;
    for (int t = 1; t <= 30; ++t) {
      round += 1 + static_cast<int>(random() % 4);
      for (float& value : g) value = normal(random);
      const RowOptimizer::Row row = {p.data(), state.data(), g.data()};
      optimizer->Update(round, {&row, 1});
      GetParam().update(t, round, Doubles(g.begin(), g.end()), expected, a, b);
      for (size_t i = 0; i < width; ++i) {
        ASSERT_NEAR(p[i], expected[i], 2e-4 * (1 + std::abs(expected[i])))
            << "width " << width << " update " << t << " element " << i;
      }
    }
  }
}

TEST_P(RowOptimizerTest, RowsTogetherAreRowsAlone) {
  constexpr size_t kWidth = 11;
  constexpr size_t kRows = 20;
  const std::unique_ptr<RowOptimizer> optimizer = New(kWidth);
  const size_t floats = static_cast<size_t>(optimizer->state_floats());
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> p(kRows * kWidth), g(kRows * kWidth), state(kRows * floats, 0.0f);
  for (float& value : p) value = normal(random);
  for (float& value : g) value = normal(random);
  std::vector<float> alone = p, alone_state = state;
  std::vector<RowOptimizer::Row> rows;
  for (size_t i = kRows; i-- > 0;) {
    rows.push_back({p.data() + i * kWidth, state.data() + i * floats, g.data() + i * kWidth});
  }
  for (int round = 1; round <= 3; ++round) {
    optimizer->Update(round, rows);
    for (size_t i = 0; i < kRows; ++i) {
      const RowOptimizer::Row row = {alone.data() + i * kWidth, alone_state.data() + i * floats,
                                     g.data() + i * kWidth};
      optimizer->Update(round, {&row, 1});
    }
  }
  EXPECT_EQ(p, alone);
}

INSTANTIATE_TEST_SUITE_P(All, RowOptimizerTest, ::testing::ValuesIn(References()));

TEST(NewRowOptimizerTest, RefusesNoKind) {
  EXPECT_FALSE(NewRowOptimizer(v1::RowOptimizer(), 1).ok());
}

}  // namespace
}  // namespace parley
