#include "base/json_string.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(JsonStringTest, WhatJsonReservesIsEscaped) {
  EXPECT_EQ(JsonString(""), R"("")");
  EXPECT_EQ(JsonString("a \"b\" \\c"), R"("a \"b\" \\c")");
  EXPECT_EQ(JsonString("line\nbreak\ttab"), R"("line\nbreak\ttab")");
  EXPECT_EQ(JsonString(absl::string_view("\0\x1b\x7f", 3)), R"("\u0000\u001b\u007f")");
}

TEST(JsonStringTest, Utf8IsKept) {
  EXPECT_EQ(JsonString("Gr\xc3\xbc\xc3\x9f"
                       "e \xe2\x82\xac \xf0\x9f\x98\x80"),
            "\"Gr\xc3\xbc\xc3\x9f"
            "e \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST(JsonStringTest, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(JsonString("a\xff"
                       "b"),
            R"("a\ufffdb")");
  EXPECT_EQ(JsonString("\xc3"), R"("\ufffd")") << "cut off";
  EXPECT_EQ(JsonString("\xc0\x80"), R"("\ufffd\ufffd")") << "too long for its code";
  EXPECT_EQ(JsonString("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")") << "a surrogate";
}

}  // namespace
}  // namespace parley
