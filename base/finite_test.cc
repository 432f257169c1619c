#include "base/finite.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/half.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

const std::vector<float>& NotFinite() {
  static const std::vector<float> numbers = {
      kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(),
      std::numeric_limits<float>::signaling_NaN(), -std::nanf("1")};
  return numbers;
}

const std::vector<float>& Extremes() {
  static const std::vector<float> numbers = {0.0f,
                                             -0.0f,
                                             kLargest,
                                             -kLargest,
                                             std::numeric_limits<float>::min(),
                                             std::numeric_limits<float>::denorm_min()};
  return numbers;
}

// `size` numbers beginning `shift` bytes from an aligned place; around them stands what is not
// finite.
template <typename Number>
class Placed {
 public:
  Placed(size_t size, size_t shift)
      : size_(size), shift_(shift), bytes_(64 + size * sizeof(Number) + 64, '\xff') {}
  void Set(size_t i, Number value) { std::memcpy(at(i), &value, sizeof(value)); }
  const float* floats() const { return reinterpret_cast<const float*>(at(0)); }
  const void* data() const { return at(0); }
  void* data() { return at(0); }
  bool Untouched() const {
    return std::all_of(bytes_.begin(), bytes_.begin() + 32 + shift_,
                       [](char c) { return c == '\xff'; }) &&
           std::all_of(bytes_.begin() + 32 + shift_ + size_ * sizeof(Number), bytes_.end(),
                       [](char c) { return c == '\xff'; });
  }

 private:
  char* at(size_t i) { return bytes_.data() + 32 + shift_ + i * sizeof(Number); }
  const char* at(size_t i) const { return bytes_.data() + 32 + shift_ + i * sizeof(Number); }

  const size_t size_, shift_;
  std::vector<char> bytes_;
};

TEST(FiniteTest, OneThatIsNotIsFoundAtEveryPlace) {
  for (const size_t size : {1, 7, 8, 9, 31, 32, 33, 71}) {
    for (const size_t shift : {0, 1, 2, 4}) {
      Placed<float> values(size, shift);
      for (size_t i = 0; i < size; ++i) values.Set(i, Extremes()[i % Extremes().size()]);
      ASSERT_TRUE(AllFinite(values.floats(), size)) << size;
      ASSERT_EQ(FindNotFinite(values.floats(), size), -1);
      for (size_t i = 0; i < size; ++i) {
        for (const float bad : NotFinite()) {
          values.Set(i, bad);
          ASSERT_FALSE(AllFinite(values.floats(), size)) << bad << " at " << i << " of " << size;
          ASSERT_EQ(FindNotFinite(values.floats(), size), static_cast<int64_t>(i));
        }
        values.Set(i, 1.5f);
      }
    }
  }
}

TEST(FiniteTest, TheFirstOfManyIsFoundInALongArray) {
  std::vector<float> values(10000, kLargest);
  for (const size_t place : {9999, 8192, 8191, 4096, 4095, 17, 0}) {  // each before the last
    values[place] = NotFinite()[place % NotFinite().size()];
    EXPECT_EQ(FindNotFinite(values.data(), values.size()), static_cast<int64_t>(place));
  }
}

// Every number of 16 bits, at changing places among finite ones.
TEST(FiniteTest, SixteenBitNumbersAreAsFiniteAsWhatTheyAre) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const size_t size = 1 + bits % 83;
    Placed<uint16_t> values(size, bits % 3);
    for (size_t i = 0; i < size; ++i) values.Set(i, 0x1234);
    values.Set(bits % size, half);
    float wide;
    FromBFloat16(&half, 1, &wide);
    ASSERT_EQ(AllFiniteBFloat16(values.data(), size), std::isfinite(wide)) << bits;
    FromFloat16(&half, 1, &wide);
    ASSERT_EQ(AllFiniteFloat16(values.data(), size), std::isfinite(wide)) << bits;
  }
}

TEST(FiniteTest, NoNumbersAreFinite) {
  EXPECT_TRUE(AllFinite(nullptr, 0));
  EXPECT_TRUE(AllFiniteBFloat16(nullptr, 0));
  EXPECT_TRUE(AllFiniteFloat16(nullptr, 0));
  EXPECT_TRUE(CopyFinite(nullptr, 0, nullptr));
  EXPECT_EQ(FindNotFinite(nullptr, 0), -1);
}

TEST(FiniteTest, CopiesEveryBitAndNothingBeside) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (size_t size = 1; size < 80; ++size) {
    const size_t shift = random() % 8;
    Placed<float> in(size, shift), out(size, random() % 8);
    for (size_t i = 0; i < size; ++i) in.Set(i, Extremes()[random() % Extremes().size()]);
    EXPECT_TRUE(CopyFinite(in.floats(), size, out.data()));
    EXPECT_EQ(std::memcmp(in.data(), out.data(), size * sizeof(float)), 0);
    in.Set(random() % size, NotFinite()[random() % NotFinite().size()]);
    EXPECT_FALSE(CopyFinite(in.floats(), size, out.data()));
    EXPECT_EQ(std::memcmp(in.data(), out.data(), size * sizeof(float)), 0);
    EXPECT_TRUE(out.Untouched());
  }
}

}  // namespace
}  // namespace parley
