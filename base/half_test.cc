#include "base/half.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

uint16_t BFloat16Of(float value) {
  uint16_t bits;
  ToBFloat16(&value, 1, &bits);
  return bits;
}
uint16_t Float16Of(float value) {
  uint16_t bits;
  ToFloat16(&value, 1, &bits);
  return bits;
}
float OfFloat16(uint16_t bits) {
  float value;
  FromFloat16(&bits, 1, &value);
  return value;
}
float OfBFloat16(uint16_t bits) {
  float value;
  FromBFloat16(&bits, 1, &value);
  return value;
}

TEST(HalfTest, EveryNumberOf16BitsComesBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    if (std::isnan(OfBFloat16(half))) {
      EXPECT_TRUE(std::isnan(OfBFloat16(BFloat16Of(OfBFloat16(half)))));
    } else {
      EXPECT_EQ(BFloat16Of(OfBFloat16(half)), half);
    }
    if (std::isnan(OfFloat16(half))) {
      EXPECT_TRUE(std::isnan(OfFloat16(Float16Of(OfFloat16(half)))));
    } else {
      EXPECT_EQ(Float16Of(OfFloat16(half)), half);
    }
  }
}

TEST(HalfTest, HalfwayGoesToTheEvenNeighbour) {
  EXPECT_EQ(BFloat16Of(FromBits(0x3f808000)), 0x3f80);  // between 0x3f80 and 0x3f81
  EXPECT_EQ(BFloat16Of(FromBits(0x3f818000)), 0x3f82);
  EXPECT_EQ(BFloat16Of(FromBits(0x3f808001)), 0x3f81);
  EXPECT_EQ(Float16Of(1 + 0x1p-11f), 0x3c00);
  EXPECT_EQ(Float16Of(1 + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(Float16Of(0x1p-25f), 0x0000);  // between 0 and the smallest
  EXPECT_EQ(Float16Of(3 * 0x1p-25f), 0x0002);
}

TEST(HalfTest, TheLimits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(OfBFloat16(BFloat16Of(kInfinity)), kInfinity);
  EXPECT_EQ(OfBFloat16(BFloat16Of(std::numeric_limits<float>::max())), kInfinity);
  EXPECT_EQ(OfFloat16(Float16Of(65504)), 65504);
  EXPECT_EQ(OfFloat16(Float16Of(65520)), kInfinity);
  EXPECT_EQ(OfFloat16(Float16Of(-1e9f)), -kInfinity);
  EXPECT_TRUE(std::isnan(OfBFloat16(BFloat16Of(FromBits(0x7fffffff)))));
  EXPECT_TRUE(std::isnan(OfBFloat16(BFloat16Of(FromBits(0x7f800001)))));
  EXPECT_TRUE(std::isnan(OfFloat16(Float16Of(FromBits(0xffffffff)))));
}

TEST(HalfTest, TellsWhetherAllThatItWroteIsFinite) {
  for (size_t count = 1; count < 40; ++count) {
    std::vector<float> values(count, -65504);
    std::vector<uint16_t> halves(count);
    EXPECT_TRUE(ToBFloat16(values.data(), count, halves.data()));
    EXPECT_TRUE(ToFloat16(values.data(), count, halves.data()));
    for (size_t i = 0; i < count; ++i) {
      values[i] = 65520;  // too large for one of the two
      EXPECT_TRUE(ToBFloat16(values.data(), count, halves.data()));
      EXPECT_FALSE(ToFloat16(values.data(), count, halves.data()));
      for (const float bad : {std::numeric_limits<float>::infinity(), -std::nanf(""),
                              std::numeric_limits<float>::max()}) {
        values[i] = bad;
        EXPECT_FALSE(ToBFloat16(values.data(), count, halves.data())) << i << " of " << count;
        EXPECT_FALSE(ToFloat16(values.data(), count, halves.data())) << i << " of " << count;
      }
      values[i] = 1;
    }
  }
  EXPECT_TRUE(ToBFloat16(nullptr, 0, nullptr));
  EXPECT_TRUE(ToFloat16(nullptr, 0, nullptr));
}

// Whatever the count, the address, and the place in a vector.
TEST(HalfTest, ManyAreConvertedAsOne) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (size_t count = 0; count < 40; ++count) {
    std::vector<float> values(count), back(count);
    for (float& value : values) value = FromBits(static_cast<uint32_t>(random()));
    std::vector<char> bytes(2 * count + 1);
    for (const size_t shift : {0, 1}) {
      ToBFloat16(values.data(), count, bytes.data() + shift);
      for (size_t i = 0; i < count; ++i) {
        const uint16_t one = BFloat16Of(values[i]);
        EXPECT_EQ(std::memcmp(&one, bytes.data() + shift + 2 * i, 2), 0);
      }
      FromBFloat16(bytes.data() + shift, count, back.data());
      for (size_t i = 0; i < count; ++i) {
        uint16_t bits;
        std::memcpy(&bits, bytes.data() + shift + 2 * i, 2);
        const float one = OfBFloat16(bits);
        EXPECT_EQ(std::memcmp(&one, &back[i], 4), 0);
      }
      ToFloat16(values.data(), count, bytes.data() + shift);
      for (size_t i = 0; i < count; ++i) {
        const uint16_t one = Float16Of(values[i]);
        EXPECT_EQ(std::memcmp(&one, bytes.data() + shift + 2 * i, 2), 0);
      }
    }
  }
}

}  // namespace
}  // namespace parley
