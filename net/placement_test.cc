#include "net/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace parley {
namespace {

std::vector<int64_t> Loads(const std::vector<int64_t>& bytes, const std::vector<int>& shard_of,
                           int num_shards) {
  std::vector<int64_t> load(num_shards, 0);
  for (size_t i = 0; i < bytes.size(); ++i) load[shard_of[i]] += bytes[i];
  return load;
}

TEST(PlaceBlocks, BalancesBytesNotBlocks) {
  const std::vector<int64_t> bytes = {100, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10};
  const std::vector<int> shard_of = PlaceBlocks(bytes, 2);
  EXPECT_EQ(Loads(bytes, shard_of, 2), (std::vector<int64_t>{100, 100}));
}

TEST(PlaceBlocks, EqualBlocksSpreadEvenly) {
  const std::vector<int64_t> bytes(30, 1 << 20);
  for (const int64_t load : Loads(bytes, PlaceBlocks(bytes, 3), 3)) EXPECT_EQ(load, 10 << 20);
}

TEST(PlaceBlocks, TiesGoToTheLowerBlockAndShard) {
  EXPECT_EQ(PlaceBlocks({5, 5, 5, 5}, 3), (std::vector<int>{0, 1, 2, 0}));
  EXPECT_EQ(PlaceBlocks({1, 2, 3}, 2), (std::vector<int>{1, 1, 0}));
}

TEST(PlaceBlocks, FewerBlocksThanShardsLeaveShardsEmpty) {
  EXPECT_EQ(PlaceBlocks({7}, 3), std::vector<int>{0});
  EXPECT_TRUE(PlaceBlocks({}, 3).empty());
}

TEST(PlaceBlocks, NoShardIsFarAboveTheMean) {
  const uint32_t seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const int num_shards = 1 + random() % 10;
    std::vector<int64_t> bytes(1 + random() % 100);
    for (int64_t& b : bytes) b = 4 + random() % (1 << 20);
    const std::vector<int> shard_of = PlaceBlocks(bytes, num_shards);
    const std::vector<int64_t> load = Loads(bytes, shard_of, num_shards);
    // A shard got its last block when it was the least loaded, so it is at most one block above the
    // mean.
    const int64_t mean = std::accumulate(bytes.begin(), bytes.end(), int64_t{0}) / num_shards;
    const int64_t largest = *std::max_element(bytes.begin(), bytes.end());
    EXPECT_LE(*std::max_element(load.begin(), load.end()), mean + 1 + largest) << "seed " << seed;
    EXPECT_EQ(PlaceBlocks(bytes, num_shards), shard_of) << "seed " << seed;
  }
}

}  // namespace
}  // namespace parley
