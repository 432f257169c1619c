#include "data/idx.h"

#include <zlib.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

constexpr char kFashion[] = "/usr/share/datasets/fashion-mnist/";

std::string Path(const std::string& name) { return testing::TempDir() + "/" + name; }

void Write(const std::string& path, const std::string& bytes) {
  std::remove(path.c_str());  // truncating a file makes some file systems write to the disk
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Gzip(const std::string& bytes) {
  const std::string path = Path("packed");
  std::remove(path.c_str());
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

TEST(IdxTest, FeaturesAreNormalisedAsAsked) {
  Write(Path("images"), kImages);
  Write(Path("labels"), kLabels);
  ImageOptions options;
  options.mean = 0.25f;
  options.stddev = 0.5f;
  const auto dataset = ReadIdxDataset(Path("images"), Path("labels"), options);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  (*dataset)->Fill({0}, &batch);
  EXPECT_FLOAT_EQ(batch.feature_data()[0], -0.5f);
  EXPECT_NEAR(batch.feature_data()[1], (0x33 / 255.0 - 0.25) / 0.5, 1e-6);
  EXPECT_FLOAT_EQ(batch.feature_data()[5], 1.5f);
  for (const float nonsense : {0.0f, -1.0f, 1e-45f, std::nanf(""), HUGE_VALF}) {
    options.stddev = nonsense;
    const auto refused = ReadIdxDataset(Path("images"), Path("labels"), options);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << nonsense;
  }
}

// A program's results do not change because features can be normalised.
TEST(IdxTest, FeaturesAsTheyAreHaveTheBitsOfThePlainProduct) {
  std::string every;
  for (int value = 0; value < 256; ++value) every.push_back(static_cast<char>(value));
  const auto dataset = Read(Idx({1, 16, 16}, every), Idx({1}, std::string(1, '\0')));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  (*dataset)->Fill({0}, &batch);
  for (int value = 0; value < 256; ++value) {
    EXPECT_EQ(batch.feature_data()[value], static_cast<float>(value) * (1.0f / 255.0f)) << value;
  }
}

TEST(IdxTest, BatchesAreAlignedWhateverTheirSize) {
  const auto dataset = Read(kImages, kLabels);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  for (const std::vector<int64_t>& indices :
       std::vector<std::vector<int64_t>>{{0}, {0, 1, 0}, {1}, {}}) {
    (*dataset)->Fill(indices, &batch);
    EXPECT_EQ(batch.size, static_cast<int>(indices.size()));
    EXPECT_EQ(batch.labels.size(), indices.size());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(batch.feature_data()) % kBufferAlignment, 0u);
  }
}

TEST(IdxTest, ALabelOutOfRangeIsNamed) {
  Write(Path("images"), kImages);
  Write(Path("labels"), Idx({2}, std::string("\x01\x07", 2)));
  ImageOptions options;
  options.num_classes = 7;
  const auto refused = ReadIdxDataset(Path("images"), Path("labels"), options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.status().message(), HasSubstr("/labels: label 7 of example 1"));
  options.num_classes = 10;
  const auto dataset = ReadIdxDataset(Path("images"), Path("labels"), options);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->num_classes(), 10);
  options.num_classes = -1;
  EXPECT_FALSE(ReadIdxDataset(Path("images"), Path("labels"), options).ok());
}

TEST(IdxTest, ReadsAGzipOfSeveralMembers) {
  const auto dataset =
      Read(Gzip(kImages.substr(0, 7)) + Gzip("") + Gzip(kImages.substr(7)), kLabels);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 2);
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
      {Gzip(kImages) + "x", kLabels, "/images: its gzip is followed by 1 bytes too many"},
      {Gzip(kImages) + std::string(512, '\0'), kLabels, "followed by 512 bytes too many"},
      {Gzip(kImages) + Gzip("x"), kLabels, "1 bytes too many"},
      {Gzip(kImages) + Gzip("").substr(0, 9), kLabels, "its gzip is truncated"},
      {"PK" + kImages.substr(2), kLabels, "not an IDX file"},
      {Idx({2, 2, 3}, std::string(12, 'x'), 0x0d), kLabels, "element type 13"},
      {kLabels, kImages, "are these labels?"},
      {kImages, kImages, "are these images?"},
      {kImages, Idx({3}, std::string(3, '\0')), "3 labels"},
      {Idx({2, 0, 3}, ""), kLabels, "dimension 1 is 0"},
      {Idx({0x7fffffff, 0x7fffffff, 0x7fffffff}, ""), kLabels, "truncated"},
      {Idx({1 << 30, 1 << 30, 16}, ""), kLabels, "truncated"},  // 2^64 elements
      {Idx({2, 2, 1 << 30, 1 << 30, 4}, "abcd"), kLabels, "truncated"},
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

// The same on a real file, of which not every length can be tried.
TEST(IdxTest, ARealFileTruncatedOrDamagedIsRefused) {
  std::ifstream in(std::string(kFashion) + "t10k-labels-idx1-ubyte.gz", std::ios::binary);
  const std::string whole = {std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(whole.size(), 1000u);
  Write(Path("labels"), whole);
  const auto sound = ReadIdx(Path("labels"));
  ASSERT_TRUE(sound.ok()) << sound.status();
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  constexpr size_t kHeader = 64;  // more than the gzip header, whose time and name may be anything
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    Write(Path("labels"), whole.substr(0, random() % whole.size()));
    ASSERT_FALSE(ReadIdx(Path("labels")).ok());
    std::string flipped = whole;
    const size_t at = kHeader + random() % (whole.size() - kHeader);
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (random() % 8)));
    Write(Path("labels"), flipped);
    const auto read = ReadIdx(Path("labels"));
    if (read.ok()) {  // deflate has bits that say nothing, such as the code of a symbol that never
                      // comes
      ASSERT_EQ(read->values, sound->values) << at;
      continue;
    }
    ++refused;
    ASSERT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << at;
  }
  EXPECT_GT(refused, 150);
}

TEST(IdxTest, EveryFlippedBitOfAGzipIsRefusedOrHarmless) {
  const std::string whole = Gzip(kImages);
  const auto expected = Read(kImages, kLabels);
  Batch good, bad;
  (*expected)->Fill({0, 1}, &good);
  int refused = 0;
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto dataset = Read(flipped, kLabels);
    if (!dataset.ok()) {  // a bit of the time stamp or the like may be flipped unseen
      ++refused;
      EXPECT_THAT(dataset.status().message(), HasSubstr("/images"));
      continue;
    }
    (*dataset)->Fill({0, 1}, &bad);
    EXPECT_TRUE(std::equal(good.feature_data(), good.feature_data() + 12, bad.feature_data()))
        << "bit " << bit;
  }
  EXPECT_GT(refused, static_cast<int>(4 * whole.size()));
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
