#include "ps/finite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

namespace parley {
namespace {

// `values` in slices of `slice` bytes, each in memory of its own, `shift` bytes from an aligned
// place. Around them stand bytes that make no finite number.
Payload Sliced(const std::vector<float>& values, size_t slice, size_t shift) {
  const char* const bytes = reinterpret_cast<const char*>(values.data());
  const size_t end = values.size() * sizeof(float);
  Payload payload;
  for (size_t begin = 0; begin < end; begin += slice) {
    const size_t size = std::min(slice, end - begin);
    const auto storage = std::make_shared<std::vector<char>>(shift + size + 8, '\xff');
    std::memcpy(storage->data() + shift, bytes + begin, size);
    payload.Append(storage->data() + shift, size, storage);
  }
  return payload;
}

TEST(FiniteTest, FindsANonFiniteElementAtEveryPlace) {
  const std::vector<float> bad = {std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity(),
                                  std::numeric_limits<float>::quiet_NaN(),
                                  std::numeric_limits<float>::signaling_NaN(), -std::nanf("1")};
  std::vector<float> values(53, 1.5f);
  for (const size_t slice : {1, 2, 3, 5, 7, 64, 1000}) {
    for (const size_t shift : {0, 1, 2, 3}) {
      ASSERT_TRUE(AllFinite(Sliced(values, slice, shift)));
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = bad[i % bad.size()];
        ASSERT_FALSE(AllFinite(Sliced(values, slice, shift)))
            << values[i] << " at " << i << ", slices of " << slice;
        values[i] = 1.5f;
      }
    }
  }
}

TEST(FiniteTest, SixteenBitGradientsAreReadAsTheirType) {
  // As bfloat16 about 2.7e36, as float16 infinity.
  const auto bytes = std::make_shared<std::vector<uint16_t>>(20, 0x7c00);
  for (const size_t slice : {1, 3, 1000}) {
    Payload payload;
    for (size_t begin = 0; begin < 40; begin += slice) {
      payload.Append(reinterpret_cast<const char*>(bytes->data()) + begin,
                     std::min<size_t>(slice, 40 - begin), bytes);
    }
    EXPECT_TRUE(AllFinite(Gradient(payload, v1::BFLOAT16)));
    EXPECT_FALSE(AllFinite(Gradient(payload, v1::FLOAT16)));
  }
}

TEST(FiniteTest, TakesTheExtremesOfWhatIsFinite) {
  const std::vector<float> values = {0.0f,
                                     -0.0f,
                                     std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::lowest(),
                                     std::numeric_limits<float>::min(),
                                     std::numeric_limits<float>::denorm_min()};
  EXPECT_TRUE(AllFinite(Sliced(values, 1000, 0)));
  EXPECT_TRUE(AllFinite(Payload()));
}

}  // namespace
}  // namespace parley
