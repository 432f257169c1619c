#ifndef PARLEY_DATA_CLICK_LOG_H_
#define PARLEY_DATA_CLICK_LOG_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace parley::data {

struct ClickLogOptions {
  int fields = 6;      // columns of categories
  int64_t ids = 1000;  // that a field has
  double exponent =
      1.1;  // of Zipf's law: id k comes with a probability proportional to 1 / (k + 1)^exponent
  int rank = 2;      // of what pairs of fields say together
  double bias = -1;  // of the logit
  uint64_t seed = 1;
};

// A log of clicks that never were, as long as one likes: each example has one id in each field, and
// is clicked with a probability that is known, so that the best AUC that any model can reach is
// known too. The logit of example x is
//   bias + sum_f w[f, x_f] + sum_{f < g} <u[f, x_f], u[g, x_g]>
// the form of a factorisation machine (Rendle, 2010), with w and u normal. Example i is a function
// of (seed, i) alone.
// Thread safety: immutable; safe from any thread.
class ClickLog {
 public:
  explicit ClickLog(const ClickLogOptions& options);

  struct Example {
    float label;   // 0 or 1
    double logit;  // of the probability that it is 1
  };

  int fields() const { return options_.fields; }
  // Writes the keys of the ids of example `i`, one for each field, unlike for unlike fields.
  Example Get(int64_t i, absl::Span<uint64_t> keys) const;

 private:
  const ClickLogOptions options_;
  std::vector<double> cumulative_;  // by id: the probability of it and those before it
};

}  // namespace parley::data

#endif  // PARLEY_DATA_CLICK_LOG_H_
