// What a task concludes from etcd's records: tables of records, and what is to follow.

#include "ps/succession_plan.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

constexpr int kSelf = 0;
constexpr int kTasks = 3;
constexpr absl::Duration kSettling = absl::Seconds(1);
const absl::Time kBegin = absl::UnixEpoch() + absl::Hours(1);

// A shard in etcd; -1: nobody.
struct Shard {
  int leader;
  int copy = -1;
  bool is_led = true;  // else its leader's lease has ended
};

AllShardRecords Records(const std::vector<Shard>& shards, const std::vector<int>& tasks,
                        const std::vector<int>& leaving = {}) {
  AllShardRecords records;
  for (const Shard& shard : shards) {
    ShardRecords& made = records.shards.emplace_back();
    if (shard.leader < 0) continue;
    made.copies.emplace();
    made.copies->term = 1;
    made.copies->leader = {shard.leader, 1};
    if (shard.copy >= 0) made.copies->copy = TaskStart{shard.copy, 1};
    if (!shard.is_led) continue;
    made.leader.emplace();
    made.leader->who = made.copies->leader;
  }
  for (const int task : tasks) records.tasks[task] = {"there", /*create_revision=*/10 + task};
  for (const int task : leaving) records.tasks[task].leaving = 7;
  return records;
}

// Of task 0, of three, with three shards, all tasks there for long enough.
SuccessionPlan Settled(AllShardRecords records) {
  SuccessionPlan plan(kSelf, 3, kTasks, kSettling);
  plan.Take(records, kBegin);
  plan.Take(std::move(records), kBegin + kSettling);
  return plan;
}

TEST(SuccessionPlanTest, AShardsHomeIsItsOwnTaskHoweverItStands) {
  const SuccessionPlan plan = Settled(Records({{1, 2}, {2, -1, false}, {-1}}, {0, 1, 2}));
  EXPECT_EQ(plan.HomeOf(0), 0);
  EXPECT_EQ(plan.HomeOf(1), 1);
  EXPECT_EQ(plan.HomeOf(2), 2);
}

TEST(SuccessionPlanTest, ATaskIsSettledWhenItHasBeenThereForAWhile) {
  SuccessionPlan plan(kSelf, 3, kTasks, kSettling);
  AllShardRecords records = Records({{0}, {1}, {2}}, {0, 1});
  plan.Take(records, kBegin);
  EXPECT_FALSE(plan.IsSettled(1));
  EXPECT_FALSE(plan.IsSettled(2));
  plan.Take(records, kBegin + kSettling);
  EXPECT_TRUE(plan.IsSettled(1));
  records.tasks[1].create_revision = 99;  // it was started again
  plan.Take(records, kBegin + 2 * kSettling);
  EXPECT_FALSE(plan.IsSettled(1));
  plan.Take(records, kBegin + 3 * kSettling);
  EXPECT_TRUE(plan.IsSettled(1));
  records.tasks.erase(1);
  plan.Take(records, kBegin + 4 * kSettling);
  EXPECT_FALSE(plan.IsThere(1));
  EXPECT_FALSE(plan.IsSettled(1));
}

TEST(SuccessionPlanTest, WhatIsHomeAtATaskThatLeavesGoesWhereItsCopyIs) {
  const SuccessionPlan plan = Settled(Records({{0, 1}, {1, 0}, {2, 1}}, {0, 1, 2}, {1}));
  EXPECT_EQ(plan.HomeOf(0), 0);
  EXPECT_EQ(plan.HomeOf(1), 0);  // with the copy
  EXPECT_EQ(plan.HomeOf(2), 2);
  // Where the copy is at another that leaves: at the next that stays.
  EXPECT_EQ(Settled(Records({{0}, {1, 2}, {2}}, {0, 1, 2}, {1, 2})).HomeOf(1), 0);
  // What has moved on from there stays where it is.
  EXPECT_EQ(Settled(Records({{0}, {2, 0}, {2}}, {0, 1, 2}, {1})).HomeOf(1), 2);
  // All leave: there is nobody to go to.
  EXPECT_EQ(Settled(Records({{0}, {1}, {2}}, {0, 1, 2}, {0, 1, 2})).HomeOf(1), 1);
}

TEST(SuccessionPlanTest, FromATaskThatLeavesNothingGoesToOneThatHasJustCome) {
  SuccessionPlan plan(kSelf, 3, kTasks, kSettling);
  const AllShardRecords records = Records({{1}, {1}, {2}}, {0, 1, 2}, {1});
  plan.Take(records, kBegin);
  EXPECT_EQ(plan.HomeOf(0), 0);
  EXPECT_EQ(plan.HomeOf(1), 1);
  plan.Take(records, kBegin + kSettling);
  EXPECT_EQ(plan.HomeOf(1), 2);
}

TEST(SuccessionPlanTest, ACopyIsWantedAtTheHomeAndElseWhereSomebodyStays) {
  // It is at home here, and its copy at a task that stays.
  EXPECT_EQ(Settled(Records({{0, 1}, {1}, {2}}, {0, 1, 2})).CopiesOf(0).wanted, -1);
  // The copy's task leaves, or is one too many.
  const SuccessionPlan leaves = Settled(Records({{0, 1}, {1}, {2}}, {0, 1, 2}, {1}));
  EXPECT_EQ(leaves.CopiesOf(0).wanted, 2);
  EXPECT_EQ(leaves.CopiesOf(0).leaving, (std::set<int>{1}));
  AllShardRecords fewer = Records({{0, 2}, {1}, {0}}, {0, 1, 2});
  fewer.ps_tasks = PsTasks{2, 50};
  EXPECT_EQ(Settled(fewer).CopiesOf(0).wanted, 1);
  EXPECT_EQ(Settled(fewer).CopiesOf(0).num_tasks, 2);
  // It is led here, and at home elsewhere.
  EXPECT_EQ(Settled(Records({{0}, {0, 2}, {2}}, {0, 1, 2})).CopiesOf(1).wanted, 1);
  // There is nobody to have it.
  EXPECT_EQ(Settled(Records({{0, 1}, {1}, {2}}, {0, 1}, {1})).CopiesOf(0).wanted, -1);
}

TEST(SuccessionPlanTest, AJobThatWasScaledBeginsWhereItBegan) {
  AllShardRecords more = Records({{-1}, {-1}, {-1}}, {0, 1, 2});
  more.ps_tasks = PsTasks{3, 50};
  SuccessionPlan plan(kSelf, 3, /*first_tasks=*/2, kSettling);
  plan.Take(more, kBegin);
  EXPECT_EQ(plan.HomeOf(2), 2);
  EXPECT_LT(plan.FirstHomeOf(2), 2);
}

TEST(SuccessionPlanTest, WhoWasNotToldToGoIsNeeded) {
  EXPECT_TRUE(Settled(Records({{1}, {1}, {2}}, {0, 1, 2})).NeedsThisTask(false, {}));
  // It is about to say so.
  EXPECT_TRUE(Settled(Records({{1}, {1}, {2}}, {0, 1, 2})).NeedsThisTask(true, {}));
}

TEST(SuccessionPlanTest, WhoLeavesIsNeededAsLongAsAnotherCouldHaveWhatItHas) {
  const auto needs = [](const std::vector<Shard>& shards, const std::map<int, bool>& led = {}) {
    return Settled(Records(shards, {0, 1, 2}, {0})).NeedsThisTask(true, led);
  };
  EXPECT_FALSE(needs({{1, 2}, {1, 2}, {2, 1}}));
  EXPECT_TRUE(needs({{1, 2}, {1, 2}, {2, 1}}, {{0, true}}));    // it still leads one
  EXPECT_FALSE(needs({{1, 2}, {1, 2}, {2, 1}}, {{0, false}}));  // without a job
  EXPECT_TRUE(needs({{1, 0}, {1, 2}, {2, 1}}));                 // it has a copy
  EXPECT_TRUE(needs({{1, 0, false}, {1, 2}, {2, 1}}));
  EXPECT_TRUE(needs({{0, 1, false}, {1, 2}, {2, 1}}));  // nobody has taken it over yet
}

TEST(SuccessionPlanTest, ACopyThatNobodyElseMayKeepHoldsATaskOnlyWhileTheShardHasNoLeader) {
  const auto needs = [](bool is_led, const std::vector<int>& leaving) {
    return Settled(Records({{1, 0, is_led}, {1, 2}, {1, 2}}, {0, 1, 2}, leaving))
        .NeedsThisTask(true, {});
  };
  EXPECT_FALSE(needs(true, {0, 2}));  // only task 1 stays, and leads it
  EXPECT_TRUE(needs(false, {0, 2}));
  EXPECT_TRUE(needs(true, {0}));
}

TEST(SuccessionPlanTest, WhoIsOneTooManyGoesWhenTheOperatorCouldMeanIt) {
  AllShardRecords fewer = Records({{1, 2}, {1, 2}, {2, 1}}, {0, 1, 2, 3});
  fewer.ps_tasks = PsTasks{3, /*mod_revision=*/50};
  const auto needs = [&](int64_t came) {
    fewer.tasks[3].create_revision = came;
    SuccessionPlan plan(/*self=*/3, 3, kTasks, kSettling);
    plan.Take(fewer, kBegin);
    return plan.NeedsThisTask(false, {});
  };
  EXPECT_FALSE(needs(40));
  EXPECT_TRUE(needs(60));  // it came after that was said
}

TEST(SuccessionPlanTest, WhoHasASuccessorIsNotAlone) {
  EXPECT_TRUE(Settled(Records({{0}, {1}, {2}}, {0, 1}, {0})).HasSuccessor());
  EXPECT_FALSE(Settled(Records({{0}, {1}, {2}}, {0, 1}, {0, 1})).HasSuccessor());
  EXPECT_FALSE(Settled(Records({{0}, {0}, {0}}, {0}, {0})).HasSuccessor());
  AllShardRecords fewer = Records({{0}, {0}, {0}}, {0, 2}, {0});
  fewer.ps_tasks = PsTasks{2, 50};
  EXPECT_FALSE(Settled(fewer).HasSuccessor());  // the other is to go as well
}

TEST(SuccessionPlanTest, WhatItHasSaidCountsAtOnce) {
  SuccessionPlan plan = Settled(Records({{1, 2}, {1, 2}, {2, 1}}, {0, 1, 2}));
  plan.SetLeaving(7);
  EXPECT_TRUE(plan.IsLeaving(kSelf));
  EXPECT_FALSE(plan.NeedsThisTask(true, {}));
  plan.SetLeaving(0);
  EXPECT_FALSE(plan.IsLeaving(kSelf));
}

}  // namespace
}  // namespace parley
