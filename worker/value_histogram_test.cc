#include "worker/value_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/philox.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

event::Histogram HistogramOf(const std::vector<float>& values) {
  ValueHistogram histogram;
  histogram.Add(values);
  return histogram.ToProto();
}

TEST(ValueHistogramTest, EveryNumberIsInItsBucket) {
  std::vector<float> values;
  for (uint64_t i = 0; i < 5003; ++i) {
    const double uniform = PhiloxUniform(7, 0, i);
    const double size = std::pow(10, 12 * PhiloxUniform(7, 1, i) - 6);
    values.push_back(static_cast<float>((uniform - 0.5) * size));
  }
  values.push_back(0);
  values.push_back(std::numeric_limits<float>::max());
  values.push_back(std::numeric_limits<float>::lowest());
  values.push_back(std::numeric_limits<float>::denorm_min());
  const event::Histogram histogram = HistogramOf(values);
  ASSERT_EQ(histogram.bucket_size(), histogram.bucket_limit_size());
  EXPECT_TRUE(std::is_sorted(histogram.bucket_limit().begin(), histogram.bucket_limit().end()));
  std::sort(values.begin(), values.end());
  double total = 0;
  double low = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < histogram.bucket_size(); ++i) {
    const double high = histogram.bucket_limit(i);
    // A bound itself may be on either side.
    const auto inside =
        std::count_if(values.begin(), values.end(), [&](float v) { return v > low && v < high; });
    const auto at_bounds =
        std::count_if(values.begin(), values.end(), [&](float v) { return v == low || v == high; });
    EXPECT_GE(histogram.bucket(i), inside) << low << " to " << high;
    EXPECT_LE(histogram.bucket(i), inside + at_bounds) << low << " to " << high;
    total += histogram.bucket(i);
    low = high;
  }
  EXPECT_EQ(total, values.size());
  EXPECT_EQ(histogram.num(), values.size());
  EXPECT_EQ(histogram.min(), values.front());
  EXPECT_EQ(histogram.max(), values.back());
}

TEST(ValueHistogramTest, SumsAreOfAllNumbers) {
  const event::Histogram histogram = HistogramOf({1, -2, 3});
  EXPECT_EQ(histogram.sum(), 2);
  EXPECT_EQ(histogram.sum_squares(), 14);
  ValueHistogram values;
  values.Add(std::vector<float>{3});
  values.Add(std::vector<float>{-4});
  EXPECT_EQ(values.norm(), 5);
  EXPECT_EQ(values.ToProto().min(), -4);
  EXPECT_EQ(values.ToProto().max(), 3);
}

TEST(ValueHistogramTest, NumbersThatAreNotFiniteAreLeftOut) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const event::Histogram histogram = HistogramOf({infinity, 5, -infinity, nan, -nan});
  EXPECT_EQ(histogram.num(), 1);
  EXPECT_EQ(histogram.min(), 5);
  EXPECT_EQ(histogram.max(), 5);
  EXPECT_EQ(histogram.sum(), 5);
  ValueHistogram none;
  none.Add(std::vector<float>{nan});
  EXPECT_EQ(none.count(), 0);
}

TEST(ValueHistogramTest, GapsBetweenBucketsAreShown) {
  const event::Histogram histogram = HistogramOf({1, 100});
  // Nothing; [1, 1.25); nothing; [96, 112).
  EXPECT_EQ(std::vector<double>(histogram.bucket().begin(), histogram.bucket().end()),
            (std::vector<double>{0, 1, 0, 1}));
  EXPECT_EQ(std::vector<double>(histogram.bucket_limit().begin(), histogram.bucket_limit().end()),
            (std::vector<double>{1, 1.25, 96, 112}));
}

}  // namespace
}  // namespace parley
