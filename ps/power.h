#ifndef PARLEY_PS_POWER_H_
#define PARLEY_PS_POWER_H_

#include <cmath>
#include <cstdint>

namespace parley {

// Powers that have the same bits on every machine, which std::pow does not promise: nothing but
// multiplications and square roots, each rounded as IEEE 754 says.

// base^exponent for 0 <= base <= 1 and exponent >= 0, by squaring. Relative error below exponent *
// 2^-53, as long as the result does not underflow.
inline double IntegerPower(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

// base^exponent for 0 <= base <= 1 and 0 <= exponent <= 2^31: the power of the whole part, and a
// root for each bit of the rest.
inline double Power(double base, double exponent) {
  const double whole = std::floor(exponent);
  double result = IntegerPower(base, static_cast<int64_t>(whole));
  double root = base;
  for (double rest = exponent - whole; rest > 0;) {
    root = std::sqrt(root);
    rest *= 2;
    if (rest >= 1) {
      result *= root;
      rest -= 1;
    }
  }
  return result;
}

}  // namespace parley

#endif  // PARLEY_PS_POWER_H_
