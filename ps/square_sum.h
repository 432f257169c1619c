#ifndef PARLEY_PS_SQUARE_SUM_H_
#define PARLEY_PS_SQUARE_SUM_H_

#include <cstddef>

#include "absl/types/span.h"

namespace parley {

// The sum of the squares of `values` in float64, in an order that depends on their number alone: of
// each eight the i-th goes into the i-th of eight sums, which are then added pairwise. A square of
// a float32 is exact. Pure.
inline double SquareSum(absl::Span<const float> values) {
  constexpr size_t kLanes = 8;
  double lanes[kLanes] = {};
  const float* const data = values.data();
  const size_t whole = values.size() - values.size() % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      const double value = data[i + j];
      lanes[j] += value * value;
    }
  }
  for (size_t i = whole; i < values.size(); ++i) {
    const double value = data[i];
    lanes[i - whole] += value * value;
  }
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace parley

#endif  // PARLEY_PS_SQUARE_SUM_H_
