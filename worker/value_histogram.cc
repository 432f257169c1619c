#include "worker/value_histogram.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace parley {
namespace {

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

double ValueOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  // The bits after those of the largest number are those of infinity.
  return std::isfinite(value) ? double{value} : double{std::numeric_limits<float>::max()};
}

}  // namespace

void ValueHistogram::Add(absl::Span<const float> values) {
  // Four counts of each bucket, so that numbers alike do not wait for each other's; and sums of a
  // piece in lanes that are vectorised.
  constexpr size_t kWays = 4;
  constexpr size_t kPiece = 4096;
  static_assert(kPiece % kWays == 0);
  std::array<std::array<uint32_t, kBuckets>, kWays> counts;
  for (auto& way : counts) way.fill(0);
  float least = std::numeric_limits<float>::infinity();
  float greatest = -least;
  double sum = 0;
  double sum_squares = 0;
  size_t in_ways = 0;
  const auto merge = [&] {
    for (auto& way : counts) {
      for (size_t i = 0; i < kBuckets; ++i) counts_[i] += way[i];
      way.fill(0);
    }
    in_ways = 0;
  };
  for (size_t begin = 0; begin < values.size(); begin += kPiece) {
    const absl::Span<const float> piece = values.subspan(begin, kPiece);
    size_t i = 0;
    for (; i + kWays <= piece.size(); i += kWays) {
      for (size_t way = 0; way < kWays; ++way) ++counts[way][BitsOf(piece[i + way]) >> kShift];
    }
    for (; i < piece.size(); ++i) ++counts[0][BitsOf(piece[i]) >> kShift];
    for (const float value : piece) {
      if (!std::isfinite(value)) continue;
      least = std::min(least, value);
      greatest = std::max(greatest, value);
      sum += value;
      sum_squares += double{value} * value;
    }
    in_ways += piece.size();
    if (in_ways >= size_t{1} << 31) merge();
  }
  merge();
  // The buckets of infinities and NaNs are those with the largest exponent.
  constexpr size_t kSpecial = size_t{4};
  for (const size_t end : {kBuckets / 2, kBuckets}) {
    std::fill(counts_.begin() + static_cast<std::ptrdiff_t>(end - kSpecial),
              counts_.begin() + static_cast<std::ptrdiff_t>(end), 0);
  }
  const int64_t before = count_;
  count_ = 0;
  for (const int64_t count : counts_) count_ += count;
  if (count_ == before) return;
  min_ = before == 0 ? least : std::min<double>(min_, least);
  max_ = before == 0 ? greatest : std::max<double>(max_, greatest);
  sum_ += sum;
  sum_squares_ += sum_squares;
}

double ValueHistogram::norm() const { return std::sqrt(sum_squares_); }

event::Histogram ValueHistogram::ToProto() const {
  event::Histogram proto;
  proto.set_min(min_);
  proto.set_max(max_);
  proto.set_num(static_cast<double>(count_));
  proto.set_sum(sum_);
  proto.set_sum_squares(sum_squares_);
  // Ascending: the negative numbers from the largest on, then the positive ones. Of a row of empty
  // buckets one is written, so that the next begins where it does.
  double last = -std::numeric_limits<double>::infinity();
  const auto add = [&](double low, double high, int64_t count) {
    if (count == 0) return;
    if (low != last) {
      proto.add_bucket_limit(low);
      proto.add_bucket(0);
    }
    proto.add_bucket_limit(high);
    proto.add_bucket(static_cast<double>(count));
    last = high;
  };
  constexpr size_t kHalf = kBuckets / 2;
  for (size_t i = kBuckets; i-- > kHalf;) {
    const auto magnitude = static_cast<uint32_t>(i - kHalf);
    add(-ValueOf((magnitude + 1) << kShift), -ValueOf(magnitude << kShift), counts_[i]);
  }
  for (size_t i = 0; i < kHalf; ++i) {
    const auto magnitude = static_cast<uint32_t>(i);
    add(ValueOf(magnitude << kShift), ValueOf((magnitude + 1) << kShift), counts_[i]);
  }
  return proto;
}

}  // namespace parley
