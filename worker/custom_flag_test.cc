#include "worker/custom_flag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "net/check_custom.h"

namespace parley {
namespace {

using testing::HasSubstr;

TEST(CustomFlag, IsANameWithOptions) {
  const absl::StatusOr<v1::Custom> plain = ParseCustomFlag("f", "signum");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->name(), "signum");
  EXPECT_EQ(plain->options_size(), 0);
  const absl::StatusOr<v1::Custom> options = ParseCustomFlag("f", "signum,momentum=0.5,scale=-2e3");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->options_size(), 2);
  EXPECT_EQ(options->options().at("momentum"), 0.5f);
  EXPECT_EQ(options->options().at("scale"), -2000.0f);
}

TEST(CustomFlag, SaysWhatIsWrong) {
  const struct {
    const char* value;
    const char* words;
  } kCases[] = {
      {"", "it has no name"},
      {"momentum=0.5", "it has no name"},
      {"signum,", "'' is not an option and its number"},
      {"signum,momentum", "'momentum' is not an option"},
      {"signum,momentum=much", "'momentum=much' is not an option"},
      {"signum,=1", "'=1' is not an option"},
      {"signum,a=1,a=2", "option a is there twice"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ParseCustomFlag("policy_of_mine", c.value).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.value;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.words));
    EXPECT_THAT(std::string(status.message()), HasSubstr("--policy_of_mine="));
  }
}

TEST(CustomFlag, LeavesNumbersThatAreTooLargeToTheJobsChecks) {
  const absl::StatusOr<v1::Custom> custom = ParseCustomFlag("f", "signum,scale=-1e300");
  ASSERT_TRUE(custom.ok()) << custom.status();
  EXPECT_EQ(std::string(CheckCustom("optimizer.custom", *custom).message()),
            "optimizer.custom.options[scale] is -inf, allowed are finite numbers");
}

}  // namespace
}  // namespace parley
