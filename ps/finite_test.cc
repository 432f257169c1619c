#include "ps/finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace parley {
namespace {

// `values` in slices of `slice` bytes; what `shift` bytes come first makes them unaligned.
Payload Sliced(const std::vector<float>& values, size_t slice, size_t shift,
               std::vector<std::byte>* storage) {
  storage->resize(shift + values.size() * sizeof(float));
  std::memcpy(storage->data() + shift, values.data(), values.size() * sizeof(float));
  Payload payload;
  for (size_t begin = shift; begin < storage->size(); begin += slice) {
    payload.Append(storage->data() + begin, std::min(slice, storage->size() - begin), nullptr);
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
      std::vector<std::byte> storage;
      ASSERT_TRUE(AllFinite(Sliced(values, slice, shift, &storage)));
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = bad[i % bad.size()];
        ASSERT_FALSE(AllFinite(Sliced(values, slice, shift, &storage)))
            << values[i] << " at " << i << ", slices of " << slice;
        values[i] = 1.5f;
      }
    }
  }
}

TEST(FiniteTest, TakesTheExtremesOfWhatIsFinite) {
  const std::vector<float> values = {0.0f,
                                     -0.0f,
                                     std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::lowest(),
                                     std::numeric_limits<float>::min(),
                                     std::numeric_limits<float>::denorm_min()};
  std::vector<std::byte> storage;
  EXPECT_TRUE(AllFinite(Sliced(values, 1000, 0, &storage)));
  EXPECT_TRUE(AllFinite(Payload()));
}

}  // namespace
}  // namespace parley
