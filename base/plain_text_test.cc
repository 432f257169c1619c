#include "base/plain_text.h"

#include <random>

#include "base/json_string.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(PlainTextTest, TextStays) {
  for (const char* const text : {"", "step-5", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \"\\'"}) {
    EXPECT_EQ(PlainText(text), text);
  }
}

TEST(PlainTextTest, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(PlainText("caf\xe9/x"), "caf\xef\xbf\xbd/x");
  EXPECT_EQ(PlainText("\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(PlainText("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");  // cut in the middle
}

TEST(PlainTextTest, ATerminalIsToldNothing) {
  EXPECT_EQ(PlainText("a\033[2Jb\nc\rd\x7f"), "a [2Jb c d ");
  EXPECT_EQ(PlainText("\xc2\x9b"
                      "2J"),
            " 2J");
  EXPECT_EQ(PlainText(absl::string_view("a\0b", 3)), "a b");
}

TEST(PlainTextTest, ALongTextEndsWithAWholeCharacter) {
  EXPECT_EQ(PlainText("ab\xc3\xa9", 4), "ab\xc3\xa9");
  EXPECT_EQ(PlainText("ab\xc3\xa9", 3), "ab");
  EXPECT_EQ(PlainText("ab\xe9", 4), "ab");
  EXPECT_EQ(PlainText("ab", 0), "");
}

TEST(PlainTextTest, AnyBytesBecomePlain) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 40, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    const size_t most = random() % 50;
    const std::string plain = PlainText(text, most);
    EXPECT_LE(plain.size(), most);
    EXPECT_EQ(PlainText(plain), plain);
    absl::string_view left = plain;
    while (!left.empty()) {
      const size_t size = Utf8CharacterSize(left);
      ASSERT_GT(size, 0u) << JsonString(plain);
      left.remove_prefix(size);
    }
  }
}

}  // namespace
}  // namespace parley
