#include "ps/table/place_index.h"

#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace parley {
namespace {

std::set<uint32_t> PlacesOf(PlaceIndex& index, uint32_t hash) {
  std::set<uint32_t> places;
  index.ForEachOf(hash, [&](uint32_t place) {
    EXPECT_TRUE(places.insert(place).second) << place;
    return false;
  });
  const uint32_t* const only = index.Only(hash);
  EXPECT_EQ(only != nullptr, places.size() == 1);
  EXPECT_TRUE(only == nullptr || places.count(*only) == 1);
  return places;
}

TEST(PlaceIndexTest, FindsNothingWhenEmpty) {
  PlaceIndex index;
  EXPECT_TRUE(PlacesOf(index, 7).empty());
  EXPECT_FALSE(index.Has(7, 0));
}

TEST(PlaceIndexTest, IsTheSameAsAMap) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  PlaceIndex index;
  std::map<uint32_t, uint32_t> hash_of;  // by place
  // Few hashes, at the end of their range too, so that entries stand far from their homes and
  // beyond the end.
  const auto any_hash = [&] { return 0xffffffff - random() % 60 * (random() % 2 ? 1 : 71582788); };
  for (int i = 0; i < 20000; ++i) {
    const uint32_t place = random() % 400;
    const auto found = hash_of.find(place);
    if (found == hash_of.end()) {
      const uint32_t hash = any_hash();
      index.Insert(hash, place);
      hash_of[place] = hash;
    } else if (random() % 3 == 0) {
      const uint32_t to = 400 + random() % 400;
      if (hash_of.count(to) != 0) continue;
      index.Move(found->second, place, to);
      hash_of[to] = found->second;
      hash_of.erase(place);
    } else {
      index.Erase(found->second, place);
      hash_of.erase(found);
    }
    if (random() % 2 == 0 && !hash_of.empty()) {
      const auto any = hash_of.lower_bound(random() % 800);
      if (any != hash_of.end() && any->first >= 400) {
        index.Erase(any->second, any->first);
        hash_of.erase(any);
      }
    }
    ASSERT_EQ(index.size(), hash_of.size());
    const uint32_t hash = any_hash();
    std::set<uint32_t> expected;
    for (const auto& [there, its_hash] : hash_of) {
      if (its_hash == hash) expected.insert(there);
    }
    ASSERT_EQ(PlacesOf(index, hash), expected);
  }
  std::set<uint32_t> all, expected;
  index.ForEach([&](uint32_t place) { EXPECT_TRUE(all.insert(place).second); });
  for (const auto& [place, hash] : hash_of) {
    expected.insert(place);
    EXPECT_TRUE(index.Has(hash, place));
  }
  EXPECT_EQ(all, expected);
}

}  // namespace
}  // namespace parley
