#include "base/byte_size.h"

#include <string>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(ByteSizeTest, IsANumberAndItsUnit) {
  EXPECT_EQ(*ParseByteSize("1B"), 1);
  EXPECT_EQ(*ParseByteSize("3KiB"), 3072);
  EXPECT_EQ(*ParseByteSize("512MiB"), int64_t{512} << 20);
  EXPECT_EQ(*ParseByteSize("1.5GiB"), int64_t{3} << 29);
  EXPECT_EQ(*ParseByteSize("2TiB"), int64_t{1} << 41);
}

TEST(ByteSizeTest, WhatIsNoneIsRefusedWithItsText) {
  for (const char* text :
       {"", "B", "5", "-1MiB", "0GiB", "1GB", "nanMiB", "infB", "9e99TiB", "1 x MiB"}) {
    const auto size = ParseByteSize(text);
    EXPECT_EQ(size.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(std::string(size.status().message()).find(text), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace parley
