#include "ps/sum_tile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "net/wire_dtype.h"

namespace parley {
namespace {

class SumTileTest : public testing::TestWithParam<v1::DType> {};

// Against one element after another, in the given order, for every number of elements around the
// vectors' and for arrays that begin anywhere.
TEST_P(SumTileTest, HasTheBitsOfThePlainSum) {
  const v1::DType dtype = GetParam();
  const size_t bytes = WireBytes(dtype);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (size_t size = 1; size < 140; ++size) {
    const size_t count = 1 + random() % 9;
    const float factor = 1.0f / static_cast<float>(1 + random() % 5);
    const size_t at = random() % 3;
    std::vector<std::vector<char>> storage(count, std::vector<char>(size * bytes + 8, '\x7f'));
    std::vector<std::vector<float>> wide(count, std::vector<float>(size));
    std::vector<const std::byte*> in;
    for (size_t j = 0; j < count; ++j) {
      char* const place = storage[j].data() + random() % 8;
      for (float& value : wide[j]) {
        value = std::ldexp(normal(random), static_cast<int>(random() % 12));
      }
      ToWire(dtype, wide[j].data(), size, place);
      FromWire(dtype, place, size, wide[j].data());
      in.push_back(reinterpret_cast<const std::byte*>(place) - at * bytes);
    }
    std::vector<float> start(size);
    for (float& value : start) value = normal(random);
    for (const bool has_start : {false, true}) {
      std::vector<float> expected(size);
      for (size_t i = 0; i < size; ++i) {
        float sum = has_start ? start[i] + wide[0][i] : wide[0][i];
        for (size_t j = 1; j < count; ++j) sum += wide[j][i];
        expected[i] = sum * factor;
      }
      expected.push_back(-1);  // what stands behind is left alone
      std::vector<float> out = has_start ? start : std::vector<float>(size);
      out.push_back(-1);
      SumTile(dtype, in, at, has_start ? out.data() : nullptr, factor, size, out.data());
      ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
          << size << " elements of " << count << " arrays";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, SumTileTest,
                         testing::Values(v1::FLOAT32, v1::BFLOAT16, v1::FLOAT16));

}  // namespace
}  // namespace parley
