#include "base/philox.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers that its authors publish with Random123.
TEST(PhiloxTest, AgreesWithThePublishedVectors) {
  EXPECT_EQ(Philox(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ull, ~0ull, ~0ull), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, UniformFillsTheUnitInterval) {
  constexpr int kBins = 16;
  constexpr int kSamples = 1 << 16;
  std::vector<int> bins(kBins);
  for (int i = 0; i < kSamples; ++i) {
    const float value = PhiloxUniform(1, 2, i);
    ASSERT_GE(value, 0.0f);
    ASSERT_LT(value, 1.0f);
    ++bins[static_cast<int>(value * kBins)];
  }
  // Six standard deviations of a binomial count.
  const double mean = static_cast<double>(kSamples) / kBins;
  for (const int count : bins) EXPECT_NEAR(count, mean, 6 * std::sqrt(mean));
}

TEST(PhiloxTest, NormalHasItsMoments) {
  constexpr int kSamples = 1 << 16;
  double sum = 0, squares = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double value = PhiloxNormal(3, 4, i);
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kSamples, 0, 6 / std::sqrt(kSamples));
  EXPECT_NEAR(squares / kSamples, 1, 6 * std::sqrt(2.0 / kSamples));
}

TEST(PhiloxTest, BelowStaysBelowAndReachesAll) {
  std::vector<int> seen(7);
  for (int i = 0; i < 1000; ++i) ++seen[PhiloxBelow(5, 6, i, 7)];
  for (const int count : seen) EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace parley
