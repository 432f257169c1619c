#ifndef PARLEY_PS_CORRECTION_H_
#define PARLEY_PS_CORRECTION_H_

#include <algorithm>
#include <cstdint>

namespace parley {

// How a round whose gradient is stale is applied; as it is made, like any other.
struct Correction {
  double rate = 1;         // the learning rate is multiplied by it
  float compensation = 0;  // lambda of g + lambda * g * g * (w - w'), see ReduceAndUpdate
};

// A policy's rule for it. A value.
struct CorrectionRule {
  bool rate_by_staleness = false;  // Zhang et al., "Staleness-aware async-SGD for distributed deep
                                   // learning", IJCAI 2016: rate / staleness
  float lambda = 0;  // Zheng et al., "Asynchronous stochastic gradient descent with delay
                     // compensation", ICML 2017, equation 10; 0: none

  // Of a gradient that is `staleness` rounds behind.
  Correction For(int64_t staleness) const {
    if (staleness == 0) return {};  // what it was computed from is what it meets
    const double rate =
        rate_by_staleness ? 1.0 / static_cast<double>(std::max<int64_t>(1, staleness)) : 1.0;
    return {rate, lambda};
  }
};

}  // namespace parley

#endif  // PARLEY_PS_CORRECTION_H_
