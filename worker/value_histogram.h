#ifndef PARLEY_WORKER_VALUE_HISTOGRAM_H_
#define PARLEY_WORKER_VALUE_HISTOGRAM_H_

#include <array>
#include <cstdint>

#include "absl/types/span.h"
#include "worker/event.pb.h"

namespace parley {

// How numbers are distributed, in buckets whose bounds grow by a quarter of a power of two: the
// bucket is the upper bits of the float. Numbers that are not finite are left out. Thread safety:
// none.
class ValueHistogram {
 public:
  void Add(absl::Span<const float> values);

  // Finite numbers so far.
  int64_t count() const { return count_; }
  // The root of the sum of their squares.
  double norm() const;

  event::Histogram ToProto() const;

 private:
  // Sign, exponent, and two bits of the mantissa.
  static constexpr int kShift = 21;
  static constexpr size_t kBuckets = size_t{1} << (32 - kShift);

  std::array<int64_t, kBuckets> counts_ = {};
  int64_t count_ = 0;
  double min_ = 0;
  double max_ = 0;
  double sum_ = 0;
  double sum_squares_ = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_VALUE_HISTOGRAM_H_
