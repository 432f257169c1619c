#include "data/idx.h"

#include <zlib.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

constexpr char kFashion[] = "/usr/share/datasets/fashion-mnist/";

std::string Path(const std::string& name) { return testing::TempDir() + "/" + name; }

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Gzip(const std::string& bytes) {
  const std::string path = Path("packed");
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string Idx(const std::vector<int>& shape, const std::string& values, char type = 8) {
  std::string bytes = {0, 0, type, static_cast<char>(shape.size())};
  for (const int dimension : shape) {
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes.push_back(static_cast<char>(dimension >> shift));
  }
  return bytes + values;
}

const std::string kImages =
    Idx({2, 2, 3}, std::string("\x00\x33\x66\x99\xcc\xff\x01\x02\x03\x04\x05\x06", 12));
const std::string kLabels = Idx({2}, std::string("\x01\x00", 2));

absl::StatusOr<std::unique_ptr<Dataset>> Read(const std::string& images,
                                              const std::string& labels) {
  Write(Path("images"), images);
  Write(Path("labels"), labels);
  return ReadIdxDataset(Path("images"), Path("labels"));
}

TEST(IdxTest, ReadsPlainAndGzip) {
  for (const bool gzip : {false, true}) {
    const auto dataset = Read(gzip ? Gzip(kImages) : kImages, gzip ? Gzip(kLabels) : kLabels);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->size(), 2);
    EXPECT_EQ((*dataset)->feature_shape(), (std::vector<int>{2, 3, 1}));
    EXPECT_EQ((*dataset)->num_classes(), 2);
    Batch batch;
    (*dataset)->Fill({1, 0}, &batch);
    EXPECT_EQ(batch.labels, (std::vector<int32_t>{0, 1}));
    EXPECT_FLOAT_EQ(batch.feature_data()[0], 1 / 255.0f);
    EXPECT_FLOAT_EQ(batch.feature_data()[11], 1.0f);
    EXPECT_FLOAT_EQ(batch.feature_data()[7], 0x33 / 255.0f);
  }
}

TEST(IdxTest, ReadsFashionMnist) {
  const auto dataset = ReadIdxDataset(std::string(kFashion) + "train-images-idx3-ubyte.gz",
                                      std::string(kFashion) + "train-labels-idx1-ubyte.gz");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 60000);
  EXPECT_EQ((*dataset)->feature_shape(), (std::vector<int>{28, 28, 1}));
  EXPECT_EQ((*dataset)->num_classes(), 10);
  Batch batch;
  (*dataset)->Fill({0}, &batch);
  EXPECT_EQ(batch.labels[0], 9);  // an ankle boot
}

TEST(IdxTest, EveryTruncationIsRefused) {
  for (const std::string& whole : {kImages, Gzip(kImages)}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      const auto dataset = Read(whole.substr(0, size), kLabels);
      ASSERT_FALSE(dataset.ok()) << "the first " << size << " of " << whole.size() << " bytes";
      EXPECT_THAT(dataset.status().message(), HasSubstr("/images"));
    }
  }
}

TEST(IdxTest, DamagedOrStrangeFilesAreRefused) {
  const struct {
    std::string images;
    std::string labels;
    const char* words;
  } kCases[] = {
      {kImages + "x", kLabels, "1 bytes too many"},
      {"PK" + kImages.substr(2), kLabels, "not an IDX file"},
      {Idx({2, 2, 3}, std::string(12, 'x'), 0x0d), kLabels, "element type 13"},
      {kLabels, kImages, "are these labels?"},
      {kImages, kImages, "are these images?"},
      {kImages, Idx({3}, std::string(3, '\0')), "3 labels"},
      {Idx({2, 0, 3}, ""), kLabels, "dimension 1 is 0"},
      {Idx({0x7fffffff, 0x7fffffff, 0x7fffffff}, ""), kLabels, "truncated"},
      {Idx({-1, 2, 3}, ""), kLabels, "dimension 0"},
      {Idx(std::vector<int>(9, 1), "x"), kLabels, "9 dimensions"},
  };
  for (const auto& c : kCases) {
    const auto dataset = Read(c.images, c.labels);
    ASSERT_FALSE(dataset.ok()) << c.words;
    EXPECT_THAT(dataset.status().message(), HasSubstr(c.words));
  }
  EXPECT_EQ(ReadIdx("/nowhere/x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadIdx("/").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(IdxTest, EveryFlippedBitOfAGzipIsRefusedOrHarmless) {
  const std::string whole = Gzip(kImages);
  const auto expected = Read(kImages, kLabels);
  Batch good, bad;
  (*expected)->Fill({0, 1}, &good);
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto dataset = Read(flipped, kLabels);
    if (!dataset.ok()) continue;  // a bit of the time stamp or the like may be flipped unseen
    (*dataset)->Fill({0, 1}, &bad);
    EXPECT_TRUE(std::equal(good.feature_data(), good.feature_data() + 12, bad.feature_data()))
        << "bit " << bit;
  }
}

TEST(IdxTest, RandomBytesNeverCrash) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = i % 2 == 0 ? kImages : Gzip(kImages);
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto dataset = Read(bytes, kLabels);
    if (!dataset.ok()) {
      EXPECT_FALSE(dataset.status().message().empty());
    }
  }
}

}  // namespace
}  // namespace parley::data
