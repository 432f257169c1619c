// Shards that one ps task gives to another while the job goes on.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ps/succession.h"
#include "ps/testing/succession_fixture.h"

namespace parley {
namespace {

TEST_F(SuccessionTest, AShardGoesHomeWhenItsTaskIsThereAgain) {
  const auto expected = Undisturbed(4);
  for (int i = 0; i < kTasks; ++i) StartWithoutSettling(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_EQ(*Push(0), expected[0]);
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(1), expected[1]);
  AwaitLeader(1);
  AwaitCopy(2);
  End(0);
  StartWithoutSettling(0);
  const ShardRecords home = AwaitLeader(0);
  EXPECT_EQ(home.leader->term, 3);
  EXPECT_EQ(*Push(2), expected[2]);
  // And what it has is at another task again.
  Await([](const ShardRecords& now) { return now.copies->copy.has_value(); });
  EXPECT_EQ(*Push(3), expected[3]);
}

TEST_F(SuccessionTest, AShardThatIsHandedOverIsItsLastLeadersUntilItIsTaken) {
  const auto expected = Undisturbed(3);
  StartJobAwayFromHome();
  StartWithoutSettling(0);
  tasks_[0]->etcd().Refuse(true);  // so that it cannot take over
  Await([](const ShardRecords& now) { return !now.leader.has_value(); });
  EXPECT_EQ(*Push(1), expected[1]);
  EXPECT_EQ(AwaitLeader(1).leader->term, 2);
  EXPECT_EQ(*Push(2), expected[2]);
}

TEST_F(SuccessionTest, WhoHasTheCopyGoesOnWhenTheLeaderDiesHandingItOver) {
  const auto expected = Undisturbed(2);
  StartJobAwayFromHome();
  StartWithoutSettling(0);
  tasks_[0]->etcd().Refuse(true);
  Await([](const ShardRecords& now) { return !now.leader.has_value(); });
  End(1);
  tasks_[0]->etcd().Refuse(false);
  AwaitLeader(0);
  EXPECT_EQ(*Push(1), expected[1]);
}

TEST_F(SuccessionTest, AShardGoesHomeThoughTheAnswerIsLostWhenItIsHandedOver) {
  const auto expected = Undisturbed(2);
  StartJobAwayFromHome();
  tasks_[1]->etcd().LoseNextRemoval();
  StartWithoutSettling(0);
  AwaitLeader(0);
  EXPECT_TRUE(Becomes([&] { return tasks_[1]->etcd().has_lost_removal(); }));
  EXPECT_EQ(*Push(1), expected[1]);
}

// The last of three tasks goes, with the shard that it leads, and those that it has copies of.
TEST_F(SuccessionTest, ATaskThatIsToGoIsSurplusWhenOthersHaveAllItHad) {
  for (int i = 0; i < kTasks; ++i) StartWithoutSettling(i);
  v1::JobSpec spec = OneShardSpec(1, /*synchronous=*/true);
  spec.set_num_shards(kTasks);
  for (int shard = 0; shard < kTasks; ++shard) {
    v1::DeclareRequest declare;
    *declare.mutable_spec() = spec;
    declare.set_shard_index(shard);
    ASSERT_TRUE(Ask(&ParameterServer::Declare, declare).ok());
    Await([](const ShardRecords& now) { return now.copies->copy.has_value(); },
          static_cast<size_t>(shard));
  }
  EXPECT_FALSE(tasks_[2]->succession().IsSurplus());
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "2", 0}).ok());
  AwaitLeader(0, 2);
  EXPECT_TRUE(Becomes([&] { return tasks_[2]->succession().IsSurplus(); }));
  EXPECT_FALSE(tasks_[0]->succession().IsSurplus());
  EXPECT_FALSE(tasks_[1]->succession().IsSurplus());
  for (size_t shard = 0; shard < kTasks; ++shard) {
    Await(
        [&](const ShardRecords& now) {
          return now.copies->leader.task < 2 && now.copies->copy.has_value() &&
                 now.copies->copy->task < 2;
        },
        shard);
  }
  // One that is started now waits to be asked for.
  End(2);
  StartWithoutSettling(2);
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "3", 0}).ok());
  AwaitLeader(2, 2);
}

// It is asked to stop while the job goes on.
TEST_F(SuccessionTest, ATaskThatLeavesIsSurplusWhenOthersHaveAllItHad) {
  const auto expected = Undisturbed(4);
  StartWithoutSettling(2);
  StartJob();
  EXPECT_EQ(*Push(0), expected[0]);
  EXPECT_FALSE(tasks_[0]->succession().IsSurplus());
  tasks_[0]->succession().Leave();
  AwaitLeader(1);
  EXPECT_EQ(*Push(1), expected[1]);
  EXPECT_TRUE(Becomes([&] { return tasks_[0]->succession().IsSurplus(); }));
  EXPECT_FALSE(tasks_[0]->succession().IsAlone());
  EXPECT_EQ(
      Await([](const ShardRecords& now) { return now.copies->copy.has_value(); }).copies->copy,
      tasks_[2]->start());
  End(0);
  EXPECT_EQ(*Push(2), expected[2]);
  StartWithoutSettling(0);
  AwaitLeader(0);
  EXPECT_EQ(*Push(3), expected[3]);
}

TEST_F(SuccessionTest, OneOfTwoTasksLeavesWithoutAnotherCopy) {
  const auto expected = Undisturbed(3);
  StartJob();
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "2", 0}).ok());
  EXPECT_EQ(*Push(0), expected[0]);
  tasks_[0]->succession().Leave();
  AwaitLeader(1);
  EXPECT_TRUE(Becomes([&] { return tasks_[0]->succession().IsSurplus(); }));
  End(0);
  EXPECT_EQ(*Push(1), expected[1]);
  Await([](const ShardRecords& now) { return !now.copies->copy.has_value(); });
  // Where there is to be another, a task waits until that one has the copy instead.
  StartWithoutSettling(0);
  AwaitLeader(0);
  AwaitCopy(1);
  EXPECT_EQ(*Push(2), expected[2]);
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "3", 0}).ok());
  tasks_[1]->succession().Leave();
  StartWithoutSettling(2);
  AwaitCopy(2);
  EXPECT_TRUE(Becomes([&] { return tasks_[1]->succession().IsSurplus(); }));
  EXPECT_EQ(AwaitLeader(0).copies->copy, tasks_[2]->start());
}

TEST_F(SuccessionTest, WhereAllLeaveEachIsAloneAndKeepsWhatItHas) {
  const auto expected = Undisturbed(1);
  StartJob();
  EXPECT_FALSE(tasks_[0]->succession().IsAlone());
  for (int i = 0; i < 2; ++i) tasks_[i]->succession().Leave();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Becomes([&] { return tasks_[i]->succession().IsAlone(); }));
  }
  EXPECT_FALSE(tasks_[0]->succession().IsSurplus());
  EXPECT_EQ(*Push(0), expected[0]);
}

}  // namespace
}  // namespace parley
