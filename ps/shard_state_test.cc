#include "ps/shard_state.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/testing/shard_state_cluster.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ShardStateTest, ARepeatedPushGetsTheFirstAnswerAndIsNotAppliedAgain) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.PushPull(0, 0, true, 8);
  cluster.base_version = 0;
  const uint64_t first = cluster.PushPull(0, 1, true, 9);
  EXPECT_EQ(cluster.answers[first].taken[0].staleness, 1);
  cluster.PushPull(0, 2, true, 10);
  const uint64_t again = cluster.PushPull(0, 1, true, 9);
  EXPECT_TRUE(cluster.StatusOf(again).ok());
  EXPECT_EQ(cluster.answers[first].taken, cluster.answers[again].taken);
  EXPECT_EQ(cluster.rounds[0].size(), 3u);
}

TEST(ShardStateTest, ARefusedPushIsRefusedAgain) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 3, false, 9);
  EXPECT_EQ(cluster.StatusOf(first).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, 3, false, 9)), cluster.StatusOf(first));
}

TEST(ShardStateTest, ASequenceNumberTooOldToRememberIsRefused) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const int many = static_cast<int>(SequenceWindow::kRemembered) + 1;
  for (int i = 0; i < many; ++i) cluster.Push(0, i);
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, many, false, 1)).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.rounds[0].size(), static_cast<size_t>(many));
}

TEST(ShardStateTest, WhoPushesFasterThanRoundsAreAppliedIsHeldUp) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  std::vector<uint64_t> pushes;
  for (int step = 0; step < 6; ++step) pushes.push_back(cluster.Push(0, step));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(cluster.Answered(pushes[i])) << i;
  EXPECT_FALSE(cluster.Answered(pushes[4]));
  EXPECT_FALSE(cluster.Answered(pushes[5]));
  EXPECT_EQ(cluster.rounds[0].size(), 6u);  // they are taken all the same
  cluster.ApplyAll();
  for (int i = 4; i < 6; ++i) {
    EXPECT_TRUE(cluster.StatusOf(pushes[i]).ok()) << i;
    EXPECT_EQ(cluster.answers[pushes[i]].taken.size(), 2u);
  }
}

TEST(ShardStateTest, ABaseVersionFromTheFutureIsRefusedWhole) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.base_version = 1;
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
}

TEST(ShardStateTest, ABaseVersionThatIsSeenBeforeItsRoundIsReportedAppliedIsTaken) {
  ShardStateCluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  cluster.Push(0, 0);
  cluster.base_version = 1;  // worker 1 pulled after the round was applied, before Applied said so
  EXPECT_TRUE(cluster.StatusOf(cluster.Push(1, 0)).ok());
  cluster.base_version = 3;
  EXPECT_EQ(cluster.StatusOf(cluster.Push(1, 1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ShardStateTest, APushThatIsRefusedForNowIsTakenWhenItIsNoMoreAndMayWaitSoLong) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.RefusePushes(absl::ResourceExhaustedError("no space"));
  const uint64_t early = cluster.PushPull(0, 0, true, 1);
  const auto wait = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      cluster.Advance(absl::Seconds(1));
      for (const int worker : {0, 1}) cluster.Heartbeat(worker);
    }
  };
  wait(20);
  // It comes again, as its connection was lost, and another one after it.
  const uint64_t again = cluster.PushPull(0, 0, true, 1);
  const uint64_t other = cluster.PushPull(1, 0);
  EXPECT_EQ(cluster.Numbers().push_pulls_waiting, 3);
  wait(10);
  EXPECT_EQ(cluster.StatusOf(early).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(cluster.StatusOf(early).message(), HasSubstr("ps:0: worker:0 step 0: no space"));
  EXPECT_FALSE(cluster.Answered(again));
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
  cluster.RefusePushes(absl::OkStatus());
  EXPECT_TRUE(cluster.StatusOf(again).ok());
  EXPECT_TRUE(cluster.StatusOf(other).ok());
  EXPECT_THAT(cluster.rounds[0], ElementsAre(ElementsAre(0, 100)));
  EXPECT_EQ(cluster.Numbers().push_pulls_waiting, 0);
}

TEST(ShardStateTest, APushThatIsRefusedForNowGoesWithItsWorkersStart) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.RefusePushes(absl::ResourceExhaustedError("no space"));
  const uint64_t early = cluster.Push(0, 0);
  const uint64_t second = cluster.Join(0, 2);
  cluster.Advance(absl::Seconds(3));
  ASSERT_TRUE(cluster.StatusOf(second).ok());
  EXPECT_EQ(cluster.StatusOf(early).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(cluster.LiveGradients(), 0);
  cluster.RefusePushes(absl::OkStatus());
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
}

TEST(ShardStateTest, ASecondTaskWithTheSameIndexIsRefusedWhileTheFirstIsHeard) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t second = cluster.Join(0, 2);
  for (int i = 0; i < 6; ++i) {
    cluster.Advance(absl::Seconds(2));
    if (cluster.Answered(second)) break;
    EXPECT_TRUE(cluster.state().Heartbeat(0, 1, cluster.now).ok());
  }
  EXPECT_EQ(cluster.StatusOf(second).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(cluster.StatusOf(second).message(), HasSubstr("worker:0"));
  EXPECT_TRUE(cluster.StatusOf(cluster.Push(0, 0)).ok());
}

TEST(ShardStateTest, ANewIncarnationTakesOverAfterSomeSilenceAndTheOldOneIsFencedOff) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t second = cluster.Join(0, 2);
  EXPECT_FALSE(cluster.Answered(second));
  cluster.Advance(absl::Seconds(2));
  EXPECT_FALSE(cluster.Answered(second));
  EXPECT_EQ(cluster.state().NextDeadline(), cluster.now + absl::Seconds(0.5));
  cluster.Advance(absl::Seconds(0.5));
  EXPECT_TRUE(cluster.StatusOf(second).ok());
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 0)).code(), absl::StatusCode::kAborted);
}

TEST(ShardStateTest, AStrangerIsRefused) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 0)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.StatusOf(cluster.Join(1)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(cluster.StatusOf(cluster.Join(-1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ShardStateTest, ABarrierOpensWhenAllThatHaveNotLeftAreInIt) {
  ShardStateCluster cluster(3, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.Barrier(0);
  const uint64_t second = cluster.Barrier(1);
  EXPECT_FALSE(cluster.Answered(first));
  EXPECT_TRUE(cluster.Leave(2).ok());
  EXPECT_TRUE(cluster.StatusOf(first).ok());
  EXPECT_TRUE(cluster.StatusOf(second).ok());
  const uint64_t third = cluster.Barrier(0);
  cluster.Advance(absl::Seconds(6));  // less than worker 1's lease
  EXPECT_EQ(cluster.StatusOf(third).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(cluster.StatusOf(third).message(), HasSubstr("worker:1"));
}

TEST(ShardStateTest, ContinuesFromACheckpointsClocks) {
  ShardState::BlockClocks clocks;
  clocks.version = 40;
  clocks.clocks = {20, 17};
  ShardStateCluster cluster(2, BoundedPolicy(3), {clocks, clocks});
  const uint64_t fast = cluster.Join(0);
  const uint64_t slow = cluster.Join(1);
  EXPECT_EQ(cluster.answers[fast].step, 20);
  EXPECT_EQ(cluster.answers[slow].step, 17);
  EXPECT_TRUE(cluster.StatusOf(cluster.Pull(0, 20)).ok());
  EXPECT_FALSE(cluster.Answered(cluster.PushPull(0, 20)));
}

TEST(ShardStateTest, ACheckpointLeavesOutGradientsOfAnOpenRound) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  EXPECT_EQ(cluster.state().ClocksOf(0).version, 0);
  EXPECT_EQ(cluster.state().ClocksOf(0).clocks, (std::vector<int64_t>{0, 0}));
  cluster.Push(1, 0);
  EXPECT_EQ(cluster.state().ClocksOf(0).version, 1);
  EXPECT_EQ(cluster.state().ClocksOf(0).clocks, (std::vector<int64_t>{1, 1}));
}

}  // namespace
}  // namespace parley
