#include "data/line_reader.h"

#include <zlib.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

using Numbered = std::vector<std::pair<int64_t, std::string>>;

std::string Write(const std::string& bytes) {
  const std::string path = testing::TempDir() + "/lines";
  EXPECT_TRUE(WriteFileAtomically(Env::Posix(), path, bytes).ok());
  return path;
}

std::string Gzip(const std::string& text) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(&packed[0]);
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// The lines of a part with their numbers; every so many numbers are asked for.
absl::StatusOr<Numbered> Read(const std::string& path, int part, int parts) {
  absl::StatusOr<std::unique_ptr<LineReader>> reader =
      LineReader::Open(Env::Posix(), path, part, parts);
  if (!reader.ok()) return reader.status();
  Numbered lines;
  for (;;) {
    absl::string_view line;
    const absl::StatusOr<bool> more = (*reader)->Next(&line);
    if (!more.ok()) return more.status();
    if (!*more) return lines;
    std::string text(line);
    const absl::StatusOr<int64_t> number = (*reader)->LineNumber();
    if (!number.ok()) return number.status();
    lines.emplace_back(*number, std::move(text));
  }
}

TEST(LineReaderTest, PartsTogetherAreAllLinesOnce) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int trial = 0; trial < 60; ++trial) {
    Numbered expected;
    std::string text;
    const int lines = static_cast<int>(random() % 40);
    for (int i = 0; i < lines; ++i) {
      const size_t most = random() % 10 == 0 ? 300000 : 20;
      std::string line(random() % most, static_cast<char>('a' + random() % 26));
      if (i + 1 == lines && line.empty()) line = "x";
      expected.emplace_back(i + 1, line);
      text += line + (random() % 2 == 0 ? "\r\n" : "\n");
    }
    if (!text.empty() && random() % 2 == 0) {
      text.pop_back();  // the last line has no end
      if (text.back() == '\r') text.pop_back();
    }
    const int parts = 1 + static_cast<int>(random() % 7);
    const bool packed = random() % 2 == 0;
    const std::string path = Write(packed ? Gzip(text) : text);
    Numbered found;
    for (int part = 0; part < parts; ++part) {
      const auto some = Read(path, part, parts);
      ASSERT_TRUE(some.ok()) << some.status();
      found.insert(found.end(), some->begin(), some->end());
    }
    std::sort(found.begin(), found.end());
    ASSERT_EQ(found, expected) << parts << " parts, " << (packed ? "gzip" : "plain");
  }
}

TEST(LineReaderTest, GzipMayHaveSeveralMembers) {
  const auto lines = Read(Write(Gzip("a\nb") + Gzip("c\n") + Gzip("") + Gzip("d\n")), 0, 1);
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_EQ(*lines, (Numbered{{1, "a"}, {2, "bc"}, {3, "d"}}));
}

TEST(LineReaderTest, DamagedGzipIsDataLoss) {
  const std::string packed = Gzip("first\nsecond\n");
  for (const std::string& bytes :
       {packed.substr(0, packed.size() - 1), packed.substr(0, 12), packed + "x",
        packed.substr(0, packed.size() - 8) + "12345678"}) {
    const auto lines = Read(Write(bytes), 0, 1);
    EXPECT_EQ(lines.status().code(), absl::StatusCode::kDataLoss) << lines.status();
    EXPECT_THAT(std::string(lines.status().message()), HasSubstr("/lines: its gzip is "));
  }
}

TEST(LineReaderTest, GoesOnBehindALineThatIsTooLong) {
  const std::string text = "first\n" + std::string(3 * LineReader::kMostBytes, 'x') + "\nlast\n";
  for (const std::string& bytes : {text, Gzip(text)}) {
    auto reader = LineReader::Open(Env::Posix(), Write(bytes));
    ASSERT_TRUE(reader.ok());
    absl::string_view line;
    ASSERT_TRUE(*(*reader)->Next(&line));
    EXPECT_EQ(line, "first");
    const absl::StatusOr<bool> refused = (*reader)->Next(&line);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("/lines:2:1: the line has"));
    ASSERT_TRUE(*(*reader)->Next(&line));
    EXPECT_EQ(line, "last");
    EXPECT_FALSE(*(*reader)->Next(&line));
  }
}

TEST(LineReaderTest, AFileThatIsNotThereIsNotFound) {
  EXPECT_EQ(Read(testing::TempDir() + "/nothing", 0, 1).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace parley::data
