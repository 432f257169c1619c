#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

namespace parley {
namespace {

// The definition, a bit at a time through a table.
uint32_t PlainCrc32c(const std::vector<unsigned char>& bytes) {
  std::array<uint32_t, 256> table;
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78u : 0);
    table[i] = value;
  }
  uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ byte) & 255];
  return ~crc;
}

TEST(Crc32cTest, AgreesWithRfc3720) {
  EXPECT_EQ(Crc32c(std::string(32, '\0').data(), 32), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff').data(), 32), 0x62A8AB43u);
  std::string ascending(32, '\0');
  for (int i = 0; i < 32; ++i) ascending[i] = static_cast<char>(i);
  EXPECT_EQ(Crc32c(ascending.data(), 32), 0x46DD794Eu);
  EXPECT_EQ(Crc32c("123456789", 9), 0xE3069283u);
  EXPECT_EQ(Crc32c(nullptr, 0), 0u);
}

TEST(Crc32cTest, AgreesWithTheTableAtEveryLengthAndAlignment) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<unsigned char> bytes(200);
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
  for (size_t begin = 0; begin < 16; ++begin) {
    for (size_t end = begin; end <= bytes.size(); ++end) {
      const std::vector<unsigned char> part(bytes.begin() + begin, bytes.begin() + end);
      ASSERT_EQ(Crc32c(bytes.data() + begin, end - begin), PlainCrc32c(part));
    }
  }
}

TEST(Crc32cTest, AgreesWithTheTableWhereItIsSummedInThirds) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<unsigned char> bytes(60000);
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
  for (const size_t size : {12287, 12288, 12289, 24575, 24576, 40001, 60000}) {
    const std::vector<unsigned char> part(bytes.begin(), bytes.begin() + size);
    ASSERT_EQ(Crc32c(bytes.data(), size), PlainCrc32c(part)) << size;
    const uint32_t first = Crc32c(bytes.data(), 1001);
    ASSERT_EQ(ExtendCrc32c(first, bytes.data() + 1001, size - 1001), PlainCrc32c(part)) << size;
  }
}

TEST(Crc32cTest, ExtendsOverAnyCut) {
  const std::string bytes = "the same bytes, cut in two anywhere";
  const uint32_t whole = Crc32c(bytes.data(), bytes.size());
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const uint32_t first = Crc32c(bytes.data(), cut);
    EXPECT_EQ(ExtendCrc32c(first, bytes.data() + cut, bytes.size() - cut), whole);
  }
}

}  // namespace
}  // namespace parley
