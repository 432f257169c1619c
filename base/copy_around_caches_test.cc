#include "base/copy_around_caches.h"

#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(CopyAroundCachesTest, CopiesAnySizeToAnyAddressAndNothingElse) {
  constexpr size_t kRoom = 400;
  constexpr char kUntouched = 99;
  std::vector<char> in(kRoom);
  for (size_t i = 0; i < kRoom; ++i) in[i] = static_cast<char>(i % 97);
  for (size_t from = 0; from < 3; ++from) {
    for (size_t to = 0; to < 70; ++to) {
      for (const size_t size : {0, 1, 5, 31, 32, 33, 63, 64, 65, 127, 128, 200, 257, 300}) {
        std::vector<char> expected(kRoom, kUntouched);
        for (size_t i = 0; i < size; ++i) expected[to + i] = in[from + i];
        std::vector<char> out(kRoom, kUntouched);
        CopyAroundCaches(in.data() + from, size, out.data() + to);
        ASSERT_EQ(out, expected) << from << " " << to << " " << size;
      }
    }
  }
}

}  // namespace
}  // namespace parley
