#include "data/click_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace parley::data {
namespace {

TEST(ClickLogTest, AnExampleIsAFunctionOfSeedAndIndex) {
  ClickLogOptions options;
  std::vector<uint64_t> first(6), again(6);
  const ClickLog::Example a = ClickLog(options).Get(7, absl::MakeSpan(first));
  const ClickLog::Example b = ClickLog(options).Get(7, absl::MakeSpan(again));
  EXPECT_EQ(first, again);
  EXPECT_EQ(a.logit, b.logit);
  EXPECT_EQ(a.label, b.label);
  ClickLog(options).Get(8, absl::MakeSpan(again));
  EXPECT_NE(first, again);
  options.seed = 2;
  ClickLog(options).Get(7, absl::MakeSpan(again));
  EXPECT_NE(first, again);
}

TEST(ClickLogTest, IdsFollowZipf) {
  ClickLogOptions options;
  options.fields = 1;
  options.ids = 100;
  options.exponent = 1;
  const ClickLog log(options);
  std::map<uint64_t, int> counts;
  uint64_t key;
  for (int64_t i = 0; i < 20000; ++i) {
    log.Get(i, {&key, 1});
    ++counts[key];
  }
  double harmonic = 0;
  for (int k = 1; k <= 100; ++k) harmonic += 1.0 / k;
  // The seed is fixed: about four standard deviations.
  for (int k = 1; k <= 5; ++k) {
    const double expected = 20000 / harmonic / k;
    EXPECT_NEAR(counts[static_cast<uint64_t>(k - 1)], expected, 4 * std::sqrt(expected));
  }
}

TEST(ClickLogTest, ClicksHaveTheirProbability) {
  const ClickLog log(ClickLogOptions{});
  std::vector<uint64_t> keys(6);
  std::set<uint64_t> fields;
  double clicks = 0;
  double expected = 0;
  constexpr int kExamples = 20000;
  for (int64_t i = 0; i < kExamples; ++i) {
    const ClickLog::Example example = log.Get(i, absl::MakeSpan(keys));
    clicks += example.label;
    expected += 1 / (1 + std::exp(-example.logit));
    for (const uint64_t key : keys) fields.insert(key >> 40);
  }
  EXPECT_NEAR(clicks, expected, 4 * std::sqrt(kExamples / 4.0));
  EXPECT_EQ(fields.size(), 6u);
}

}  // namespace
}  // namespace parley::data
