#include "net/check_custom.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

std::string Fault(const v1::Custom& custom) {
  return std::string(CheckCustom("policy.custom", custom).message());
}

TEST(CheckCustom, AllowsNamesWithFiniteOptions) {
  v1::Custom custom;
  custom.set_name("mine");
  EXPECT_EQ(Fault(custom), "");
  (*custom.mutable_options())["limit"] = -3;
  EXPECT_EQ(Fault(custom), "");
}

TEST(CheckCustom, NamesTheFieldItsValueAndTheAllowedOnes) {
  v1::Custom custom;
  EXPECT_EQ(Fault(custom),
            "policy.custom.name has 0 characters, allowed are names of 1 to 256 characters");
  custom.set_name(std::string(257, 'n'));
  EXPECT_EQ(Fault(custom),
            "policy.custom.name has 257 characters, allowed are names of 1 to 256 characters");
  custom.set_name("mine");
  (*custom.mutable_options())["b"] = std::numeric_limits<float>::quiet_NaN();
  (*custom.mutable_options())["a"] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Fault(custom), "policy.custom.options[a] is inf, allowed are finite numbers");
  custom.clear_options();
  (*custom.mutable_options())[std::string(300, 'o')] = 1;
  EXPECT_EQ(Fault(custom),
            "policy.custom.options has a name of 300 characters, allowed are up to 256");
  custom.clear_options();
  for (int i = 0; i < 65; ++i) (*custom.mutable_options())[absl::StrCat("o", i)] = 1;
  EXPECT_EQ(Fault(custom), "policy.custom.options has 65 entries, allowed are up to 64");
}

}  // namespace
}  // namespace parley
