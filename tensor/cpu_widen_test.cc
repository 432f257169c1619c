#include "tensor/cpu_widen.h"

#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

// Every upper half of a float with lower halves around where rounding turns, and all kinds of NaN.
std::vector<float> Floats() {
  std::vector<float> floats;
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : {0x0000u, 0x0001u, 0x1000u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t bits = upper << 16 | lower;
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      floats.push_back(value);
    }
  }
  return floats;
}

template <typename T>
class CpuWidenTest : public testing::Test {};
using Types = testing::Types<Eigen::bfloat16, Eigen::half>;
TYPED_TEST_SUITE(CpuWidenTest, Types);

TYPED_TEST(CpuWidenTest, VectorsRoundAsSingleElementsDo) {
  const std::vector<float> floats = Floats();
  const int64_t count = static_cast<int64_t>(floats.size());
  std::vector<TypeParam> narrow(floats.size());
  Narrow(floats.data(), count, Write::kReplace, narrow.data());
  std::vector<float> wide(floats.size());
  Widen(narrow.data(), count, wide.data());
  for (size_t i = 0; i < floats.size(); ++i) {
    const float expected = static_cast<float>(static_cast<TypeParam>(floats[i]));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide[i])) << floats[i];
    } else {
      ASSERT_EQ(std::memcmp(&wide[i], &expected, sizeof(float)), 0)
          << floats[i] << " became " << wide[i] << ", not " << expected;
    }
  }
}

TYPED_TEST(CpuWidenTest, ASumIsRoundedOnce) {
  // One and half of its last place, and a little more: only the sum in float32 rounds up.
  const float half = std::is_same_v<TypeParam, Eigen::half> ? 0x1p-11f : 0x1p-8f;
  for (const int64_t count : {1, 8, 13}) {
    const std::vector<float> added(count, half * 1.0078125f);
    std::vector<TypeParam> out(count, TypeParam(1.0f));
    Narrow(added.data(), count, Write::kAdd, out.data());
    for (const TypeParam value : out) {
      EXPECT_EQ(static_cast<float>(value), 1 + 2 * half);
    }
  }
}

}  // namespace
}  // namespace parley
