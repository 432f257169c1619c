#include "data/cifar.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

std::string Write(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + "/" + name;
  std::remove(path.c_str());  // truncating a file makes some file systems write to the disk
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

// One record whose planes are filled with these bytes.
std::string Record(char label, char red, char green, char blue) {
  return std::string(1, label) + std::string(1024, red) + std::string(1024, green) +
         std::string(1024, blue);
}

TEST(CifarTest, PlanesBecomeChannelsOfEachPixel) {
  std::string first = Record(3, '\x00', '\x33', '\xff');
  first[1 + 1024 + 2 * 32 + 5] = '\x66';  // green of row 2, column 5
  const auto dataset = ReadCifar10Dataset(
      {Write("1.bin", first + Record(9, 1, 2, 3)), Write("2.bin", Record(0, 4, 5, 6))});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 3);
  EXPECT_EQ((*dataset)->feature_shape(), (std::vector<int>{32, 32, 3}));
  EXPECT_EQ((*dataset)->num_classes(), 10);
  Batch batch;
  (*dataset)->Fill({0, 1, 2}, &batch);
  EXPECT_EQ(batch.labels, (std::vector<int32_t>{3, 9, 0}));
  const float* pixel = batch.feature_data() + (2 * 32 + 5) * 3;
  EXPECT_FLOAT_EQ(pixel[0], 0);
  EXPECT_FLOAT_EQ(pixel[1], 0x66 / 255.0f);
  EXPECT_FLOAT_EQ(pixel[2], 1);
  EXPECT_FLOAT_EQ(pixel[4], 0x33 / 255.0f);  // its neighbour's
  EXPECT_FLOAT_EQ(batch.feature_data()[2 * 3072 + 3071], 6 / 255.0f);
}

TEST(CifarTest, DamagedFilesAreRefusedByName) {
  const std::string good = Record(1, 1, 2, 3);
  for (const size_t size : {size_t{0}, size_t{1}, good.size() - 1}) {
    const auto cut = ReadCifar10Dataset({Write("cut.bin", good.substr(0, size))});
    EXPECT_EQ(cut.status().code(), absl::StatusCode::kDataLoss) << size;
    EXPECT_THAT(cut.status().message(), HasSubstr("cut.bin"));
  }
  EXPECT_THAT(ReadCifar10Dataset({Write("long.bin", good + "x")}).status().message(),
              HasSubstr("long.bin: 3074 bytes are not whole records of 3073"));
  const auto label =
      ReadCifar10Dataset({Write("good.bin", good), Write("label.bin", good + Record(10, 1, 2, 3))});
  EXPECT_EQ(label.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(label.status().message(), HasSubstr("label.bin: label 10 of record 1"));
  EXPECT_EQ(ReadCifar10Dataset({"/nowhere/x.bin"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ReadCifar10Dataset({}).ok());
}

}  // namespace
}  // namespace parley::data
