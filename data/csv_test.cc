#include "data/csv.h"

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<Dataset>> Read(const std::string& text, CsvOptions options = {}) {
  const std::string path = testing::TempDir() + "/table.csv";
  std::ofstream(path, std::ios::binary) << text;
  return ReadCsvDataset(path, options);
}

std::vector<float> Row(const Dataset& dataset, int64_t index, Batch* batch) {
  dataset.Fill({index}, batch);
  return {batch->feature_data(), batch->feature_data() + dataset.feature_shape()[0]};
}

TEST(CsvTest, ReadsNumbersWithAndWithoutAHeader) {
  for (const char* header : {"", "a,b,class\n", "\"a\",\"b, or c\",class\r\n"}) {
    const auto table = Read(std::string(header) + "1,2.5,0\r\n\n-3,\"4e1\",2\n");
    ASSERT_TRUE(table.ok()) << table.status();
    EXPECT_EQ((*table)->size(), 2);
    EXPECT_EQ((*table)->num_classes(), 3);
    Batch batch;
    EXPECT_EQ(Row(**table, 1, &batch), (std::vector<float>{-3, 40}));
    EXPECT_EQ(batch.labels, (std::vector<int32_t>{2}));
  }
}

TEST(CsvTest, PredictsTheColumnThatIsAskedFor) {
  for (const char* column : {"y", "1"}) {
    const auto table = Read("y,x\n0.5,7\n", {column, /*classes=*/false});
    ASSERT_TRUE(table.ok()) << table.status();
    Batch batch;
    EXPECT_EQ(Row(**table, 0, &batch), (std::vector<float>{7}));
    EXPECT_EQ(batch.targets, (std::vector<float>{0.5f}));
    EXPECT_EQ((*table)->num_classes(), 0);
  }
  EXPECT_THAT(Read("y,x\n0.5,7\n", {"z", false}).status().message(), HasSubstr("no column z"));
}

TEST(CsvTest, ABadCellIsNamedByFileLineAndColumn) {
  const struct {
    const char* text;
    const char* place;
  } kCases[] = {
      {"1,2,0\n1,x,0\n", "table.csv:2:2: \"x\" is not a number"},
      {"a,b,c\n1,2,0\n1,,0\n", "table.csv:3:2: b: \"\" is not a number"},
      {"1,2,0\ninf,2,0\n", "table.csv:2:1: \"inf\" is not a finite number"},
      {"1,2,0\nnan,2,0\n", "table.csv:2:1: \"nan\" is not a finite number"},
      {"1,2,0\n1,2,0.5\n", "table.csv:2:3: \"0.5\" is not a class"},
      {"1,2,0\n1,2,-1\n", "table.csv:2:3: \"-1\" is not a class"},
      {"1,2,0\n1,2,1e9\n", "table.csv:2:3: \"1e9\" is not a class"},
      {"1,2,0\n1,2\n", "table.csv:2: 2 fields, the first line has 3"},
      {"1,2,0\n1,\"2,0\n", "table.csv:2:2: a quoted field does not end"},
      {"1,2,0\n1,\"2\"3,0\n", "table.csv:2:2: text after a quoted field"},
      {"1,2,0\n\"1\n\",2,0\n1,x,0\n", "table.csv:4:2"},  // a line end inside quotes counts
      {"1\n2\n", "needs a column to learn from"},
      {"", "no rows"},
  };
  for (const auto& c : kCases) {
    const auto table = Read(c.text);
    EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(table.status().message(), HasSubstr(c.place));
  }
}

TEST(CsvTest, AMissingFileIsNamed) {
  const auto table = ReadCsvDataset("/nowhere/table.csv", {});
  EXPECT_EQ(table.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(table.status().message(), HasSubstr("/nowhere/table.csv"));
}

}  // namespace
}  // namespace parley::data
