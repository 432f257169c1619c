#include "data/open_dataset.h"

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Folder(const std::string& name) {
  const std::string folder = testing::TempDir() + "/" + name;
  mkdir(folder.c_str(), 0700);
  return folder;
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(OpenDatasetTest, OpensFashionMnist) {
  const auto both = OpenDataset("/usr/share/datasets/fashion-mnist", {});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->train->size(), 60000);
  EXPECT_EQ(both->test->size(), 10000);
}

TEST(OpenDatasetTest, OpensAFolderOfTables) {
  const std::string folder = Folder("tables");
  Write(folder + "/train.csv", "1,0\n2,1\n3,2\n");
  Write(folder + "/test.csv", "4,1\n");
  const auto both = OpenDataset(folder, {});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->train->size(), 3);
  EXPECT_EQ(both->test->size(), 1);
  Write(folder + "/test.csv", "4,5,1\n");
  EXPECT_THAT(OpenDataset(folder, {}).status().message(), HasSubstr("another shape"));
  Write(folder + "/test.csv", "4,7\n");
  EXPECT_THAT(OpenDataset(folder, {}).status().message(),
              HasSubstr("test.csv:1:2: \"7\" is not a class (a whole number from 0 to 2)"));
  Write(folder + "/test.csv", "4,0\n");
  const auto fewer = OpenDataset(folder, {});
  ASSERT_TRUE(fewer.ok()) << fewer.status();
  EXPECT_EQ(fewer->test->num_classes(), 3);
  const auto numbers = OpenDataset(folder, {"", /*classes=*/false});
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->test->num_classes(), 0);
}

TEST(OpenDatasetTest, TheTestHasTheCategoriesOfTheTraining) {
  const std::string folder = Folder("categories");
  Write(folder + "/train.csv", "red,1,0\nblue,2,1\nred,3,2\n");
  Write(folder + "/test.csv", "green,4,1\nblue,5,0\n");
  CsvOptions options;
  options.categorical = {{"1"}};
  const auto both = OpenDataset(folder, options);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_THAT(both->train->vocabularies(), ElementsAre(3));
  EXPECT_THAT(both->test->vocabularies(), ElementsAre(3));
  Batch batch;
  both->test->Fill({0, 1}, &batch);
  EXPECT_EQ(batch.ids, (std::vector<int32_t>{0, 2}));
}

TEST(OpenDatasetTest, OpensCifar10) {
  const std::string folder = Folder("cifar");
  for (const char* name : {"1", "2", "3", "4", "5"}) {
    Write(folder + "/data_batch_" + name + ".bin",
          std::string(1, *name - '0') + std::string(3072, *name));
  }
  EXPECT_THAT(OpenDataset(folder, {}).status().message(), HasSubstr("test_batch.bin"));
  Write(folder + "/test_batch.bin", std::string(2 * 3073, '\0'));
  const auto both = OpenDataset(folder, {});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->train->size(), 5);
  EXPECT_EQ(both->test->size(), 2);
  Batch batch;
  both->train->Fill({0, 4}, &batch);
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{1, 5}));
}

TEST(OpenDatasetTest, ALabelThatTheTrainingLacksIsNamed) {
  const std::string folder = Folder("labels");
  // Images of 1 x 1, or labels: what a header can say in single bytes.
  const auto idx = [](int dimensions, const std::string& values) {
    std::string bytes("\0\0\x08", 3);
    bytes.push_back(static_cast<char>(dimensions));
    for (int i = 0; i < dimensions; ++i) {
      bytes.append(3, '\0');
      bytes.push_back(i == 0 ? static_cast<char>(values.size()) : '\1');
    }
    return bytes + values;
  };
  Write(folder + "/train-images-idx3-ubyte", idx(3, "abc"));
  Write(folder + "/train-labels-idx1-ubyte", idx(1, std::string("\0\1\2", 3)));
  Write(folder + "/t10k-images-idx3-ubyte", idx(3, "ab"));
  Write(folder + "/t10k-labels-idx1-ubyte", idx(1, std::string("\1\5", 2)));
  EXPECT_THAT(OpenDataset(folder, {}).status().message(),
              HasSubstr("t10k-labels-idx1-ubyte: label 5 of example 1"));
  ImageOptions six;
  six.num_classes = 6;
  const auto both = OpenDataset(folder, {}, six);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->train->num_classes(), 6);
}

TEST(OpenDatasetTest, HoldsOutEveryFifthRowOfOneTable) {
  const std::string path = Folder("one") + "/table.csv";
  Write(path, "0,0\n1,0\n2,0\n3,0\n4,0\n5,0\n6,0\n");
  const auto both = OpenDataset(path, {});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->train->size(), 6);
  ASSERT_EQ(both->test->size(), 1);
  Batch batch;
  both->test->Fill({0}, &batch);
  EXPECT_EQ(batch.feature_data()[0], 4);
  both->train->Fill({4}, &batch);
  EXPECT_EQ(batch.feature_data()[0], 5);
}

TEST(OpenDatasetTest, SaysWhatItLookedFor) {
  EXPECT_THAT(OpenDataset(Folder("empty"), {}).status().message(),
              HasSubstr("train-images-idx3-ubyte"));
  EXPECT_EQ(OpenDataset("/nowhere", {}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace parley::data
