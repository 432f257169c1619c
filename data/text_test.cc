#include "data/text.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string IdsAsText(const Dataset& dataset) {
  std::string text;
  Batch batch;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    dataset.Fill({i}, &batch);
    text.append(batch.ids.begin(), batch.ids.end());
  }
  return text;
}

TEST(TextTest, AWindowsLabelsAreTheBytesAfterItsIds) {
  const auto text = NewTextDataset(
      "abcdef\xff"
      "h",
      3);
  EXPECT_EQ(text->size(), 2);
  EXPECT_EQ(text->num_classes(), 256);
  EXPECT_EQ(text->labels_each(), 3);
  EXPECT_THAT(text->vocabularies(), ElementsAre(256, 256, 256));
  EXPECT_EQ(text->feature_shape(), (std::vector<int>{0}));
  Batch batch;
  text->Fill({1, 0}, &batch);
  EXPECT_EQ(batch.size, 2);
  EXPECT_EQ(batch.ids, (std::vector<int32_t>{'d', 'e', 'f', 'a', 'b', 'c'}));
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{'e', 'f', 255, 'b', 'c', 'd'}));
}

TEST(TextTest, AWindowNeedsTheByteAfterIt) {
  EXPECT_EQ(NewTextDataset("", 3)->size(), 0);
  EXPECT_EQ(NewTextDataset("abc", 3)->size(), 0);
  EXPECT_EQ(NewTextDataset("abcd", 3)->size(), 1);
  EXPECT_EQ(NewTextDataset("abcdef", 3)->size(), 1);
  EXPECT_EQ(NewTextDataset("abcdefg", 3)->size(), 2);
}

TEST(TextTest, TheLastTenthIsHeldOut) {
  TempFolder folder;
  Write(folder.File("text"), std::string(90, 'x') + "0123456789");
  const auto both = OpenText(folder.File("text"), 4);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(IdsAsText(*both->train), std::string(88, 'x'));
  EXPECT_EQ(IdsAsText(*both->test), "01234567");
}

TEST(TextTest, AFoldersFilesAreReadByNameAndOnce) {
  TempFolder folder;
  Write(folder.File("b"), std::string(20, 'b'));
  Write(folder.File("a"), std::string(20, 'a'));
  Write(folder.File("c"), "c");
  Write(folder.File(".hidden"), "hidden");
  mkdir(folder.File("aa").c_str(), 0700);
  ASSERT_EQ(symlink("a", folder.File("ab").c_str()), 0);
  const auto both = OpenText(folder.path(), 1);
  ASSERT_TRUE(both.ok()) << both.status();
  // 41 bytes: 37 to train on, the last one of which is a label only; 4 held out.
  EXPECT_EQ(IdsAsText(*both->train), std::string(20, 'a') + std::string(16, 'b'));
  EXPECT_EQ(IdsAsText(*both->test), "bbb");
}

TEST(TextTest, WhatIsTooShortOrNotThereIsNamed) {
  TempFolder folder;
  const std::string path = folder.File("short");
  Write(path, std::string(39, 'x'));
  EXPECT_THAT(OpenText(path, 3).status().message(),
              HasSubstr("short: 39 bytes in 1 files are too few"));
  Write(path, std::string(40, 'x'));
  EXPECT_TRUE(OpenText(path, 3).ok());
  EXPECT_THAT(OpenText(path, 0).status().message(), HasSubstr("windows of 0"));
  EXPECT_THAT(OpenText(path, 65537).status().message(), HasSubstr("windows of 65537"));
  EXPECT_EQ(OpenText("/nowhere", 3).status().code(), absl::StatusCode::kNotFound);
  TempFolder empty;
  EXPECT_THAT(OpenText(empty.path(), 3).status().message(), HasSubstr("0 bytes in 0 files"));
  TempFolder dangling;
  ASSERT_EQ(symlink("gone", dangling.File("link").c_str()), 0);
  EXPECT_THAT(OpenText(dangling.path(), 3).status().message(), HasSubstr("/link"));
}

TEST(TextTest, ReadsTheLicencesThatDebianShips) {
  const auto both = OpenText("/usr/share/common-licenses", 64);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_GT(both->train->size(), 1000);
  EXPECT_THAT(IdsAsText(*both->train), HasSubstr("WITHOUT WARRANTIES OR CONDITIONS"));
}

}  // namespace
}  // namespace parley::data
