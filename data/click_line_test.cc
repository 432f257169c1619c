#include "data/click_line.h"

#include <cmath>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A line of which nothing is missing.
std::string Line() {
  std::string line = "1";
  for (int i = 1; i <= 13; ++i) line += "\t" + std::to_string(i);
  for (int i = 0; i < 26; ++i) line += "\t68fd1e64";
  return line;
}

void ExpectFault(const LineFault& fault, size_t column, const std::string& what) {
  EXPECT_EQ(fault.column, column) << fault.what;
  EXPECT_THAT(fault.what, HasSubstr(what));
}

TEST(CriteoLineTest, NumbersAreLogarithmsAndCategoriesHashes) {
  ClickBatch batch;
  ASSERT_EQ(ParseCriteoLine(Line(), 0, &batch).what, "");
  EXPECT_THAT(batch.labels, ElementsAre(1));
  ASSERT_EQ(batch.keys.size(), 39u);
  for (int i = 0; i < 13; ++i) {
    EXPECT_EQ(batch.keys[i], uint64_t(i) << 56);
    EXPECT_FLOAT_EQ(batch.values[i], std::log(static_cast<float>(i + 2)));
  }
  for (int i = 13; i < 39; ++i) {
    EXPECT_EQ(batch.keys[i] >> 56, static_cast<uint64_t>(i));
    EXPECT_EQ(batch.keys[i] << 8, batch.keys[13] << 8);
    EXPECT_EQ(batch.values[i], 1);
  }
}

// The published test vectors of FNV-1a: "" and "a" and "foobar".
TEST(CriteoLineTest, TheHashIsFnv1a) {
  const auto hash_of = [](const std::string& category, uint64_t buckets) {
    ClickBatch batch;
    std::string line = "0" + std::string(13, '\t');
    line += "\t" + category + std::string(25, '\t');
    EXPECT_EQ(ParseCriteoLine(line, buckets, &batch).what, "");
    return batch.keys[13] & ((uint64_t{1} << 56) - 1);
  };
  EXPECT_EQ(hash_of("", 0), 0xf29ce484222325u);
  EXPECT_EQ(hash_of("a", 0), 0x63dc4c8601ec8cu);
  EXPECT_EQ(hash_of("foobar", 0), 0x944171f73967e8u);
  EXPECT_EQ(hash_of("foobar", 1000), 0x85944171f73967e8u % 1000);
}

TEST(CriteoLineTest, WhatIsMissingOrNegativeSaysNothing) {
  ClickBatch batch;
  ASSERT_EQ(ParseCriteoLine("0\t\t-3\t0" + std::string(36, '\t'), 0, &batch).what, "");
  EXPECT_THAT(batch.labels, ElementsAre(0));
  for (int i = 0; i < 13; ++i) EXPECT_EQ(batch.values[i], 0) << i;
}

TEST(CriteoLineTest, AFaultSaysWhere) {
  ClickBatch batch;
  ExpectFault(ParseCriteoLine("", 0, &batch), 1, "the line ends with field 1");
  ExpectFault(ParseCriteoLine("0\t1\t2", 0, &batch), 5, "the line ends with field 3");
  ExpectFault(ParseCriteoLine("2" + Line().substr(1), 0, &batch), 1,
              "the label \"2\" is neither 0 nor 1");
  ExpectFault(ParseCriteoLine(Line() + "\tx", 0, &batch), Line().size() + 1, "more than 40 fields");
  for (const char* bad : {"1.5", " 1", "0x1", "1e3", "99999999999999999999", "\x01"}) {
    std::string line = Line();
    line.replace(line.find("\t2\t"), 3, "\t" + std::string(bad) + "\t");
    ExpectFault(ParseCriteoLine(line, 0, &batch), 5, "field 3, \"");
  }
  EXPECT_TRUE(batch.labels.empty() && batch.keys.empty() && batch.values.empty());
}

TEST(LibsvmLineTest, FeaturesArePaddedToTheirMost) {
  ClickBatch batch;
  ASSERT_EQ(ParseLibsvmLine("+1 3:0.5\t18446744073709551615:-2e1  # 7:1", 0, 3, &batch).what, "");
  ASSERT_EQ(ParseLibsvmLine(" -1", 0, 3, &batch).what, "");
  ASSERT_EQ(ParseLibsvmLine("0 12:1 7:1", 10, 3, &batch).what, "");
  EXPECT_THAT(batch.labels, ElementsAre(1, 0, 0));
  EXPECT_THAT(batch.keys, ElementsAre(3, 18446744073709551615u, 0, 0, 0, 0, 2, 7, 0));
  EXPECT_THAT(batch.values, ElementsAre(0.5f, -20, 0, 0, 0, 0, 1, 1, 0));
}

TEST(LibsvmLineTest, AFaultSaysWhere) {
  ClickBatch batch;
  ExpectFault(ParseLibsvmLine("", 0, 2, &batch), 1, "there is no label");
  ExpectFault(ParseLibsvmLine("# 1 2:3", 0, 2, &batch), 1, "there is no label");
  ExpectFault(ParseLibsvmLine("nan 1:1", 0, 2, &batch), 1, "the label \"nan\" is none of");
  ExpectFault(ParseLibsvmLine("1 1:1 x", 0, 2, &batch), 7, "\"x\" is not a feature index:value");
  ExpectFault(ParseLibsvmLine("1 -1:1", 0, 2, &batch), 3, "is not a feature index:value");
  ExpectFault(ParseLibsvmLine("1 99999999999999999999:1", 0, 2, &batch), 3, "is not a feature");
  ExpectFault(ParseLibsvmLine("1 1:", 0, 2, &batch), 5, "the value \"\" is not a finite number");
  ExpectFault(ParseLibsvmLine("1 1:inf", 0, 2, &batch), 5, "is not a finite number");
  ExpectFault(ParseLibsvmLine("1 1:1 2:1 3:1", 0, 2, &batch), 11, "more than 2 features");
  EXPECT_TRUE(batch.labels.empty() && batch.keys.empty() && batch.values.empty());
}

// Whatever a line has, an example is added whole or not at all, and it is finite.
TEST(ClickLineTest, DamagedLinesAreTakenWholeOrNotAtAll) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const std::string lines[] = {Line(), "1 1:0.5 22:-3 333:4e5 4444:1 5:1"};
  int taken[2] = {};
  for (int trial = 0; trial < 40000; ++trial) {
    const bool criteo = trial % 2 == 0;
    std::string line = lines[trial % 2];
    for (int changes = static_cast<int>(random() % 4); changes > 0 && !line.empty(); --changes) {
      const size_t at = random() % line.size();
      const char alphabet[] = "0189\t :.-+e#naf\x00\xff";
      const char other = alphabet[random() % (sizeof(alphabet) - 1)];
      switch (random() % 4) {
        case 0:
          line[at] = other;
          break;
        case 1:
          line.insert(at, 1, other);
          break;
        case 2:
          line.erase(at, 1 + random() % 3);
          break;
        default:
          line.resize(at);
      }
    }
    const size_t fields = criteo ? 39 : 4 + random() % 3;
    ClickBatch batch;
    const LineFault fault = criteo ? ParseCriteoLine(line, 0, &batch)
                                   : ParseLibsvmLine(line, 0, static_cast<int>(fields), &batch);
    ASSERT_EQ(batch.labels.size(), fault.what.empty() ? 1u : 0u) << line;
    ASSERT_EQ(batch.keys.size(), batch.labels.size() * fields) << line;
    ASSERT_EQ(batch.values.size(), batch.keys.size()) << line;
    for (const float value : batch.values) ASSERT_TRUE(std::isfinite(value)) << line;
    ASSERT_LE(fault.column, line.size() + 1) << line;
    ASSERT_EQ(fault.column == 0, fault.what.empty()) << line;
    taken[trial % 2] += fault.what.empty() ? 1 : 0;
  }
  EXPECT_GT(taken[0], 1000);
  EXPECT_GT(taken[1], 1000);
}

}  // namespace
}  // namespace parley::data
