#include "ps/table/row_index.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>
#include <vector>

#include "net/table_placement.h"

namespace parley {
namespace {

class Index {
 public:
  ~Index() { index_.Clear(&pool_); }

  void Insert(uint64_t key, uint32_t slot) { index_.Insert(MixKey(key), key, slot, &pool_); }
  uint32_t Find(uint64_t key) const { return index_.Find(MixKey(key), key); }
  uint32_t Erase(uint64_t key) { return index_.Erase(MixKey(key), key); }
  void Shrink() { index_.Shrink(&pool_); }
  const RowIndex& index() const { return index_; }
  RowIndex& index() { return index_; }
  PagePool& pool() { return pool_; }

 private:
  PagePool pool_;
  RowIndex index_;
};

TEST(RowIndexTest, AnEmptyOneHasNothing) {
  Index index;
  EXPECT_NE(index.index().Line(MixKey(1)), nullptr);
  EXPECT_EQ(index.Find(0), RowIndex::kNone);
  EXPECT_EQ(index.Erase(0), RowIndex::kNone);
  EXPECT_EQ(index.index().size(), 0u);
}

TEST(RowIndexTest, EveryNumberIsAKey) {
  Index index;
  index.Insert(0, 5);
  EXPECT_EQ(index.Find(0), 5u);
  EXPECT_EQ(index.Find(~uint64_t{0}), RowIndex::kNone);
  index.Insert(~uint64_t{0}, 0);
  EXPECT_EQ(index.Find(~uint64_t{0}), 0u);
  EXPECT_EQ(index.Erase(0), 5u);
  EXPECT_EQ(index.Find(0), RowIndex::kNone);
}

TEST(RowIndexTest, DoesWhatAMapDoes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  Index index;
  std::unordered_map<uint64_t, uint32_t> map;
  // Grows, shrinks to little, and grows again; keys are near each other, and come back.
  for (int phase = 0; phase < 4; ++phase) {
    const unsigned inserts = phase % 2 == 0 ? 8 : 2;  // of ten
    for (int i = 0; i < 30000; ++i) {
      const uint64_t key = random() % 20000 * (phase < 2 ? 1 : 0x100000001);
      const auto known = map.find(key);
      ASSERT_EQ(index.Find(key), known == map.end() ? RowIndex::kNone : known->second);
      if (random() % 10 < inserts) {
        if (known != map.end()) continue;
        const uint32_t slot = static_cast<uint32_t>(random() % 0xffffffff);
        index.Insert(key, slot);
        map.emplace(key, slot);
      } else {
        ASSERT_EQ(index.Erase(key), known == map.end() ? RowIndex::kNone : known->second);
        if (known != map.end()) map.erase(known);
        if (phase > 0) index.Shrink();
      }
      ASSERT_EQ(index.index().size(), map.size());
    }
    size_t visited = 0;
    index.index().ForEach([&](uint64_t key, uint32_t slot) {
      ++visited;
      const auto known = map.find(key);
      ASSERT_NE(known, map.end());
      ASSERT_EQ(slot, known->second);
    });
    EXPECT_EQ(visited, map.size());
    for (const auto& [key, slot] : map) ASSERT_EQ(index.Find(key), slot);
  }
}

TEST(RowIndexTest, TakesFewBytes) {
  Index index;
  for (uint32_t i = 0; i < 100000; ++i) {
    index.Insert(i, i);
    if (i < 1000) continue;
    ASSERT_LE(index.pool().used(), size_t{34} * (i + 1)) << i;
  }
  for (uint32_t i = 99999; i >= 1000; --i) {
    index.Erase(i);
    index.Shrink();
    ASSERT_LE(index.pool().used(), size_t{42} * (i + 1)) << i;
  }
  index.index().Clear(&index.pool());
  EXPECT_EQ(index.pool().used(), 0u);
  EXPECT_EQ(index.Find(1), RowIndex::kNone);
}

}  // namespace
}  // namespace parley
