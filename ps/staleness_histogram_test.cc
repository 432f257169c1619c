#include "ps/staleness_histogram.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(StalenessHistogramTest, CountsEachUpToFifteenAndThenByPowersOfTwo) {
  for (int64_t staleness = 0; staleness < 16; ++staleness) {
    EXPECT_EQ(StalenessHistogram::BucketOf(staleness), static_cast<size_t>(staleness));
  }
  EXPECT_EQ(StalenessHistogram::BucketOf(16), 16u);
  EXPECT_EQ(StalenessHistogram::BucketOf(31), 16u);
  EXPECT_EQ(StalenessHistogram::BucketOf(32), 17u);
  EXPECT_EQ(StalenessHistogram::BucketOf(63), 17u);
  EXPECT_EQ(StalenessHistogram::BucketOf(64), 18u);
  EXPECT_EQ(StalenessHistogram::BucketOf(int64_t{1} << 62), StalenessHistogram::kBuckets - 1);
}

TEST(StalenessHistogramTest, HasCountSumAndMaximum) {
  StalenessHistogram histogram;
  EXPECT_THAT(histogram.counts(), IsEmpty());
  for (const int64_t staleness : {0, 2, 2, 17}) histogram.Add(staleness);
  EXPECT_THAT(histogram.counts(), ElementsAre(1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_EQ(histogram.pushes(), 4);
  EXPECT_EQ(histogram.sum(), 21);
  EXPECT_EQ(histogram.max(), 17);
}

}  // namespace
}  // namespace parley
