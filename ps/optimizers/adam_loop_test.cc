#include "ps/optimizers/adam_loop.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace parley {
namespace {

// Everything that this processor can run, against one element after another: also for sizes that
// fill no vector, and for numbers so small that they are denormal.
TEST(AdamLoopTest, EveryWidthHasTheBitsOfThePlainFormula) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const AdamCoefficients c = {0.9f, 0.999f, 0.1f, 0.001f, 0.01f, 3.25f, 1e-8f};
  for (const AdamLoop& loop : AdamLoops()) {
    for (size_t size = 0; size < 100; ++size) {
      for (const bool amsgrad : {false, true}) {
        const auto some = [&] {
          std::vector<float> values(size + 1);
          for (float& value : values) {
            value = std::ldexp(normal(random), -static_cast<int>(random() % 140));
          }
          return values;
        };
        const std::vector<float> g = some(), p = some();
        std::vector<float> out(size + 1, -1), m = some(), v = some(), largest = some();
        for (float& value : v) value = std::abs(value);
        for (float& value : largest) value = std::abs(value);
        std::vector<float> next = out, next_m = m, next_v = v, next_largest = largest;
        for (size_t i = 0; i < size; ++i) {
          next_m[i] = c.beta1 * m[i] + c.rest1 * g[i];
          next_v[i] = c.beta2 * v[i] + c.rest2 * (g[i] * g[i]);
          if (amsgrad) next_largest[i] = largest[i] > next_v[i] ? largest[i] : next_v[i];
          const float square = amsgrad ? next_largest[i] : next_v[i];
          next[i] = p[i] - c.step_size * (next_m[i] / (std::sqrt(square) * c.scale + c.epsilon));
        }
        loop.update(c,
                    {g.data(), p.data(), out.data(), m.data(), v.data(),
                     amsgrad ? largest.data() : nullptr},
                    size);
        const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
          return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
        };
        ASSERT_TRUE(same(out, next)) << loop.name << ", " << size << " elements";
        ASSERT_TRUE(same(m, next_m)) << loop.name;
        ASSERT_TRUE(same(v, next_v)) << loop.name;
        ASSERT_TRUE(same(largest, next_largest)) << loop.name;
      }
    }
  }
}

TEST(AdamLoopTest, ReducingHasTheBitsOfSumsInTheirOrderAndAnUpdate) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const AdamCoefficients c = {0.9f, 0.999f, 0.1f, 0.001f, 0.01f, 3.25f, 1e-8f};
  for (const AdamLoop& loop : AdamLoops()) {
    for (size_t count = 2; count <= 8; ++count) {
      for (const size_t size : {0, 1, 7, 16, 33, 128, 301}) {
        const auto some = [&] {
          std::vector<float> values(size + 1);
          for (float& value : values) value = normal(random);
          return values;
        };
        std::vector<std::vector<float>> gradients;
        std::vector<const float*> pointers;
        for (size_t i = 0; i < count; ++i) gradients.push_back(some());
        for (const std::vector<float>& gradient : gradients) pointers.push_back(gradient.data());
        const float factor = 1.0f / static_cast<float>(count);
        std::vector<float> g = gradients[0];
        for (size_t i = 1; i < count; ++i) {
          for (size_t j = 0; j < size; ++j) g[j] = g[j] + gradients[i][j];
        }
        for (float& value : g) value = value * factor;
        const std::vector<float> p = some();
        std::vector<float> out(size + 1, -1), m = some(), v = some();
        for (float& value : v) value = std::abs(value);
        std::vector<float> next = out, next_m = m, next_v = v;
        loop.update(c, {g.data(), p.data(), next.data(), next_m.data(), next_v.data(), nullptr},
                    size);
        loop.reduce(c, {nullptr, p.data(), out.data(), m.data(), v.data(), nullptr}, pointers,
                    factor, size);
        const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
          return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
        };
        ASSERT_TRUE(same(out, next)) << loop.name << ", " << count << " gradients of " << size;
        ASSERT_TRUE(same(m, next_m)) << loop.name;
        ASSERT_TRUE(same(v, next_v)) << loop.name;
      }
    }
  }
}

}  // namespace
}  // namespace parley
