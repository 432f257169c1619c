#include "data/open_dataset.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

std::string Folder(const std::string& name) {
  const std::string folder = testing::TempDir() + "/" + name;
  mkdir(folder.c_str(), 0700);
  return folder;
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

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
  EXPECT_THAT(OpenDataset(folder, {}).status().message(), HasSubstr("classes"));
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
