#include "ps/power.h"

#include <gtest/gtest.h>

namespace parley {
namespace {

TEST(IntegerPower, IsThatOfTheLibrary) {
  for (const double base : {0.0, 1e-30, 0.3, 0.9, 0.999, 1.0}) {
    for (const int64_t exponent : {0, 1, 2, 3, 17, 1000, 100'000}) {
      const double expected = std::pow(base, static_cast<double>(exponent));
      EXPECT_NEAR(IntegerPower(base, exponent), expected, 2e-11 * expected)
          << base << "^" << exponent;
    }
  }
  EXPECT_EQ(IntegerPower(1, int64_t{1} << 62), 1);
  EXPECT_EQ(IntegerPower(0.999, int64_t{1} << 62), 0);
}

TEST(Power, IsThatOfTheLibrary) {
  for (const double base : {0.0, 1e-30, 0.3, 0.9, 0.999, 1.0}) {
    for (const double exponent : {0.0, 1e-30, 0.25, 0.9, 1.0, 2.5, 63.999, 1e4}) {
      const double expected = std::pow(base, exponent);
      EXPECT_NEAR(Power(base, exponent), expected, 1e-11 * expected) << base << "^" << exponent;
    }
  }
}

}  // namespace
}  // namespace parley
