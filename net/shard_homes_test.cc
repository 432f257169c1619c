#include "net/shard_homes.h"

#include <algorithm>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::ElementsAre;

TEST(ShardHomesTest, EachShardIsAtItsOwnTaskWhereThereAreEnough) {
  EXPECT_THAT(ShardHomes(3, 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(ShardHomes(3, 5), ElementsAre(0, 1, 2));
  EXPECT_THAT(ShardHomes(1, 1), ElementsAre(0));
}

TEST(ShardHomesTest, SixShards) {
  EXPECT_THAT(ShardHomes(6, 4), ElementsAre(0, 1, 2, 3, 1, 0));
  EXPECT_THAT(ShardHomes(6, 3), ElementsAre(0, 1, 2, 2, 1, 0));
  EXPECT_THAT(ShardHomes(6, 2), ElementsAre(0, 1, 0, 1, 1, 0));
  EXPECT_THAT(ShardHomes(6, 1), ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST(ShardHomesTest, NoTaskHasMuchMoreThanAnotherAndNothingMovesThatNeedNot) {
  for (int shards = 1; shards <= 100; ++shards) {
    std::vector<int> before = ShardHomes(shards, shards + 1);
    for (int tasks = shards; tasks >= 1; --tasks) {
      const std::vector<int> homes = ShardHomes(shards, tasks);
      std::vector<int> load(static_cast<size_t>(tasks));
      for (const int home : homes) {
        ASSERT_TRUE(home >= 0 && home < tasks) << shards << " shards, " << tasks << " tasks";
        ++load[static_cast<size_t>(home)];
      }
      const auto [least, most] = std::minmax_element(load.begin(), load.end());
      EXPECT_LE(*most - *least, 1) << shards << " shards, " << tasks << " tasks";
      int moves = 0;
      for (size_t i = 0; i < homes.size(); ++i) {
        if (homes[i] == before[i]) continue;
        ++moves;
        EXPECT_EQ(before[i], tasks);  // it was at the task that has gone
      }
      EXPECT_EQ(moves, shards / (tasks + 1));
      before = homes;
    }
  }
}

}  // namespace
}  // namespace parley
