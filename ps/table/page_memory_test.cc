#include "ps/table/page_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace parley {
namespace {

TEST(PageMemoryTest, IsAlignedAndZeroed) {
  const PageMemory memory(kHugePage + 1);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % kHugePage, 0u);
  EXPECT_EQ(memory.size(), 2 * kHugePage);
  for (size_t i = 0; i < memory.size(); i += 1000) ASSERT_EQ(memory.data()[i], std::byte{0});
}

TEST(PageMemoryTest, Moves) {
  PageMemory first(1);
  std::byte* const data = first.data();
  data[0] = std::byte{7};
  PageMemory second(std::move(first));
  PageMemory third;
  third = std::move(second);
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.data()[0], std::byte{7});
}

TEST(PagePoolTest, PiecesAreApartAndComeBackWhole) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  PagePool pool;
  std::map<std::byte*, std::pair<size_t, int>> pieces;  // bytes, and what was written
  size_t used = 0;
  const auto free_one = [&] {
    const auto piece = std::next(pieces.begin(), static_cast<long>(random() % pieces.size()));
    const auto [bytes, mark] = piece->second;
    ASSERT_EQ(piece->first[0], static_cast<std::byte>(mark));
    ASSERT_EQ(piece->first[bytes - 1], static_cast<std::byte>(mark));
    pool.Free(piece->first, bytes);
    used -= bytes;
    pieces.erase(piece);
  };
  for (int i = 0; i < 2000; ++i) {
    if (!pieces.empty() && random() % 5 < 2) {
      free_one();
      continue;
    }
    const size_t bytes = (1 + random() % 30) * PagePool::kUnit;
    std::byte* const data = pool.Allocate(bytes);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % PagePool::kUnit, 0u);
    data[0] = data[bytes - 1] = static_cast<std::byte>(i);
    ASSERT_TRUE(pieces.emplace(data, std::make_pair(bytes, i)).second);
    used += bytes;
    ASSERT_EQ(pool.used(), used);
  }
  while (!pieces.empty()) free_one();
  EXPECT_EQ(pool.used(), 0u);
  // Everything is one piece again, where it was mapped as one.
  const size_t mapped = pool.mapped();
  pool.Allocate(size_t{16} << 20);
  EXPECT_EQ(pool.mapped(), mapped);
}

TEST(PagePoolTest, GivesMoreThanARegionAtOnce) {
  PagePool pool;
  const size_t bytes = size_t{40} << 20;
  std::byte* const data = pool.Allocate(bytes);
  data[0] = data[bytes - 1] = std::byte{1};
  EXPECT_EQ(pool.used(), bytes);
}

}  // namespace
}  // namespace parley
