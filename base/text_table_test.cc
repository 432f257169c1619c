#include "base/text_table.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

using Lines = std::vector<std::string>;

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(FormatColumns({{"name", "bytes"}, {"weights", "5"}, {"b", "1234567"}}, "lr"),
            (Lines{"name       bytes", "weights        5", "b        1234567"}));
}

TEST(TextTableTest, LinesEndWithoutSpaces) {
  EXPECT_EQ(FormatColumns({{"a", "long"}, {"b", ""}, {"", ""}}, "ll"), (Lines{"a  long", "b", ""}));
}

TEST(TextTableTest, ATextBehindTheColumnsMakesNoneWide) {
  EXPECT_EQ(FormatColumns({{"ps:0", "1"}, {"ps:1", "", "it was not reached at all"}}, "lr"),
            (Lines{"ps:0  1", "ps:1     it was not reached at all"}));
}

TEST(TextTableTest, ThereMayBeNoRows) { EXPECT_EQ(FormatColumns({}, "l"), Lines()); }

}  // namespace
}  // namespace parley
