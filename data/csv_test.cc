#include "data/csv.h"

#include <zlib.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<Dataset>> Read(const std::string& text, CsvOptions options = {}) {
  const std::string path = testing::TempDir() + "/table.csv";
  std::remove(path.c_str());  // truncating a file makes some file systems write to the disk
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
      {"1,x,0\n1,2,0\n", "table.csv:1:2: \"x\" is not a number (and a header line has none)"},
      {"1,,0\n1,2,0\n", "table.csv:1:2: \"\" is not a number"},
      {"a,b,c\n1,\"x\ny\x01\",0\n", "table.csv:2:2: b: \"x\\ny\\x01\" is not a number"},
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

TEST(CsvTest, AByteOrderMarkIsNoPartOfTheFirstField) {
  const std::string mark = "\xEF\xBB\xBF";
  const auto bare = Read(mark + "1,2,0\n3,4,1\n");
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_EQ((*bare)->size(), 2);
  const auto named = Read(mark + "y,x\n1,2\n", {"y"});
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ((*named)->num_classes(), 2);
}

TEST(CsvTest, ReadsGzip) {
  const std::string path = testing::TempDir() + "/table.csv.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzputs(file, "1,2,0\n3,4,1\n");
  gzclose(file);
  const auto table = ReadCsvDataset(path, {});
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->size(), 2);
}

TEST(CsvTest, ClassesAreThoseThatTheOptionsSay) {
  CsvOptions options;
  options.num_classes = 3;
  const auto table = Read("1,0\n2,1\n", options);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->num_classes(), 3);
  EXPECT_THAT(Read("1,0\n2,3\n", options).status().message(),
              HasSubstr("table.csv:2:2: \"3\" is not a class (a whole number from 0 to 2)"));
  for (const int nonsense : {-1, 65537}) {
    options.num_classes = nonsense;
    EXPECT_EQ(Read("1,0\n", options).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(CsvTest, CategoriesBecomeIdsInTheOrderOfTheirFirstLines) {
  CsvOptions options;
  options.label_column = "y";
  options.categorical = {{"sky"}, {"1", 100}};
  CsvOptions learned;
  const std::string path = testing::TempDir() + "/categories.csv";
  std::ofstream(path) << "street,x,y,sky\n\"Main, St.\",0.5,1, grey\nHigh,1.5,0,blue\n"
                         "Main St,2.5,1,\n\"Main, St.\",3.5,0,grey \n";
  const auto table = ReadCsvDataset(path, options, &learned);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->feature_shape(), (std::vector<int>{1}));
  EXPECT_THAT((*table)->vocabularies(), ElementsAre(4, 100));
  Batch batch;
  (*table)->Fill({0, 1, 2, 3}, &batch);
  ASSERT_EQ(batch.ids.size(), 8u);
  EXPECT_EQ((std::vector<int32_t>{batch.ids[0], batch.ids[2], batch.ids[4], batch.ids[6]}),
            (std::vector<int32_t>{1, 2, 3, 1}));
  EXPECT_EQ(batch.ids[1], batch.ids[7]);  // the same street
  EXPECT_NE(batch.ids[1], batch.ids[5]);  // another one, and by luck no collision
  for (const int32_t id : batch.ids) EXPECT_TRUE(id >= 0 && id < 100) << id;
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{1, 0, 1, 0}));
  EXPECT_EQ(batch.feature_data()[2], 2.5f);

  EXPECT_EQ(learned.categorical[0].values, (std::vector<std::string>{"grey", "blue", ""}));
  EXPECT_EQ(learned.num_classes, 2);
  std::ofstream(path) << "street,x,y,sky\nHigh,1,0,blue\nHigh,1,0,green\n";
  const auto other = ReadCsvDataset(path, learned);
  ASSERT_TRUE(other.ok()) << other.status();
  Batch more;
  (*other)->Fill({0, 1}, &more);
  EXPECT_EQ(more.ids, (std::vector<int32_t>{2, batch.ids[3], 0, batch.ids[3]}));
  EXPECT_EQ((*other)->vocabularies(), (*table)->vocabularies());
}

// So that ids stay what they are in checkpoints, on every machine. The hash of "a" is published
// with the function: 0xaf63dc4c8601ec8c.
TEST(CsvTest, TheHashOfACategoryIsFnv1a) {
  CsvOptions options;
  options.categorical = {{"1", 1 << 24}};
  const auto table = Read("a,0\n", options);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->feature_shape(), (std::vector<int>{0}));
  Batch batch;
  (*table)->Fill({0}, &batch);
  EXPECT_EQ(batch.ids, (std::vector<int32_t>{0x01ec8c}));
}

TEST(CsvTest, ACategoricalColumnThatCannotBeIsRefused) {
  const struct {
    CategoricalColumn column;
    const char* words;
  } kCases[] = {
      {{"z"}, "no column z"},
      {{"3"}, "no column 3"},
      {{"y"}, "column y is the one to predict"},
      {{"x", -1}, "column x cannot have -1 categories"},
      {{"x", (1 << 24) + 1}, "column x cannot have 16777217 categories"},
  };
  for (const auto& c : kCases) {
    CsvOptions options;
    options.categorical = {c.column};
    EXPECT_THAT(Read("x,y\n1,0\n", options).status().message(), HasSubstr(c.words));
  }
  CsvOptions twice;
  twice.categorical = {{"x"}, {"1"}};
  EXPECT_THAT(Read("x,y\n1,0\n", twice).status().message(), HasSubstr("categorical twice"));
}

TEST(CsvTest, AFlagNamesCategoricalColumns) {
  const auto columns = ParseCategoricalColumns("city, street:1000,2:5,a:b:7");
  ASSERT_TRUE(columns.ok()) << columns.status();
  ASSERT_EQ(columns->size(), 4u);
  EXPECT_EQ((*columns)[0].column, "city");
  EXPECT_EQ((*columns)[0].buckets, 0);
  EXPECT_EQ((*columns)[1].column, "street");
  EXPECT_EQ((*columns)[1].buckets, 1000);
  EXPECT_EQ((*columns)[3].column, "a:b");
  EXPECT_TRUE(ParseCategoricalColumns("")->empty());
  for (const char* bad : {"city:", "city:0", "city:-4", "city:x", "a,,b", ",", ":7",
                          "city:16777217", "city:99999999999999"}) {
    EXPECT_EQ(ParseCategoricalColumns(bad).status().code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST(CsvTest, ALineOfTooManyFieldsIsRefused) {
  EXPECT_THAT(Read(std::string((1 << 20) + 1, ',')).status().message(),
              HasSubstr("more than 1048576 fields"));
}

// Whatever is done to a good table, either it is refused with its name or what it gives is whole.
TEST(CsvTest, RandomDamageNeverCrashes) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const std::string whole = "a,\"b, or c\",class\r\n1,2.5,0\r\n-3,\"4e1\",2\n\n7,8,1\n";
  const std::string telling("\",\r\n\0-.e9n\x80", 11);
  for (int i = 0; i < 3000; ++i) {
    std::string text = whole;
    for (int changes = 1 + static_cast<int>(random() % 5); changes > 0; --changes) {
      const char byte =
          random() % 2 == 0 ? telling[random() % telling.size()] : static_cast<char>(random());
      const size_t at = random() % (text.size() + 1);
      if (random() % 3 == 0) {
        text.insert(at, 1, byte);
      } else if (random() % 4 == 0) {
        text.resize(at);
      } else if (at < text.size()) {
        text[at] = byte;
      }
    }
    CsvOptions options = {"", /*classes=*/random() % 2 == 0};
    if (random() % 2 == 0) options.categorical = {{"1"}, {"2", 10}};
    const auto table = Read(text, options);
    if (!table.ok()) {
      ASSERT_THAT(table.status().message(), HasSubstr("table.csv")) << "table " << i;
      continue;
    }
    Batch batch;
    for (int64_t row = 0; row < (*table)->size(); ++row) {
      for (const float value : Row(**table, row, &batch)) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

TEST(CsvTest, AMissingFileIsNamed) {
  const auto table = ReadCsvDataset("/nowhere/table.csv", {});
  EXPECT_EQ(table.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(table.status().message(), HasSubstr("/nowhere/table.csv"));
}

}  // namespace
}  // namespace parley::data
