#include "data/images.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::Pointwise;

std::vector<float> Filled(const Dataset& dataset, std::vector<int64_t> indices) {
  Batch batch;
  dataset.Fill(indices, &batch);
  size_t features = indices.size();
  for (const int dimension : dataset.feature_shape()) features *= static_cast<size_t>(dimension);
  return {batch.feature_data(), batch.feature_data() + features};
}

TEST(ImagesTest, SmallImagesGetABorder) {
  ImageOptions options;
  options.pad_to = 5;
  // 2 x 3 pixels of 1 channel: 1 row above, 2 below, 1 column on both sides.
  const auto images = NewImageDataset({51, 102, 153, 204, 255, 0}, {2, 3, 1}, {0}, "x", options);
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ((*images)->feature_shape(), (std::vector<int>{5, 5, 1}));
  std::vector<float> expected(25, 0);
  for (int i = 0; i < 3; ++i) {
    expected[6 + i] = static_cast<float>(51 * (i + 1)) / 255.0f;
    expected[11 + i] = i == 2 ? 0 : static_cast<float>(204 + 51 * i) / 255.0f;
  }
  const std::vector<float> features = Filled(**images, {0});
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(features[i], expected[i]) << i;
}

TEST(ImagesTest, ABorderKeepsChannelsAndIsNormalisedLikeTheRest) {
  ImageOptions options;
  options.pad_to = 2;
  options.mean = 0.5f;
  options.stddev = 0.25f;
  const auto images = NewImageDataset({0, 0, 255, 255}, {1, 1, 2}, {1, 0}, "x", options);
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ((*images)->feature_shape(), (std::vector<int>{2, 2, 2}));
  // Nothing of what a reused buffer held stays.
  std::vector<float> expected(16, -2);
  expected[0] = expected[1] = 2;
  EXPECT_THAT(Filled(**images, {1, 0}), Pointwise(FloatEq(), expected));
}

TEST(ImagesTest, LargeImagesStayAsTheyAre) {
  ImageOptions options;
  options.pad_to = 2;
  const auto images = NewImageDataset(std::vector<uint8_t>(12, 255), {4, 3, 1}, {0}, "x", options);
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ((*images)->feature_shape(), (std::vector<int>{4, 3, 1}));
  EXPECT_THAT(Filled(**images, {0}), Pointwise(FloatEq(), std::vector<float>(12, 1)));
}

TEST(ImagesTest, OptionsThatMakeNoSenseAreRefused) {
  ImageOptions options;
  for (const int nonsense : {-1, 1025}) {
    options.pad_to = nonsense;
    EXPECT_THAT(CheckImageOptions("file", options).message(), HasSubstr("file: cannot be padded"));
  }
  options.pad_to = 1024;
  EXPECT_TRUE(CheckImageOptions("file", options).ok());
  EXPECT_THAT(NewImageDataset({}, {1, 1, 1}, {}, "file", {}).status().message(),
              HasSubstr("file: no examples"));
}

}  // namespace
}  // namespace parley::data
