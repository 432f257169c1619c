// What each policy does, with a ShardState around it.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/testing/shard_state_cluster.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SynchronousTest, OfSeveralThatWaitForADeadWorkersPlaceTheLatestStartGetsIt) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.Join(0, /*incarnation=*/1);
  const uint64_t died_waiting = cluster.Join(0, /*incarnation=*/2);
  const uint64_t latest = cluster.Join(0, /*incarnation=*/3);
  cluster.Advance(absl::Seconds(10));
  EXPECT_TRUE(cluster.Answered(latest));
  EXPECT_TRUE(cluster.StatusOf(latest).ok());
  EXPECT_FALSE(cluster.Answered(died_waiting) && cluster.StatusOf(died_waiting).ok());
}

TEST(SynchronousTest, AJobThatHasFailedClosesNoRounds) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  cluster.Push(2, 0);
  EXPECT_TRUE(cluster.Leave(1, "out of memory").ok());
  EXPECT_TRUE(cluster.Leave(0).ok());  // the one that is left has pushed, but its gradient is gone
  EXPECT_TRUE(cluster.Leave(2).ok());
  EXPECT_TRUE(cluster.rounds[0].empty());
}

TEST(SynchronousTest, AWorkerStartedAgainPullsItsStepWhileTheNextRoundIsNotApplied) {
  // With norms over several shards the round may wait for this worker, at another shard.
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.apply_at_once = false;
  cluster.JoinAll();
  cluster.Push(0, 0);
  cluster.Push(1, 0);
  cluster.Advance(absl::Seconds(11));
  cluster.Heartbeat(0);
  cluster.Join(1, /*incarnation=*/2);
  EXPECT_TRUE(cluster.Answered(cluster.Pull(1, 0)));
  const uint64_t next = cluster.Pull(1, 1);
  EXPECT_FALSE(cluster.Answered(next));
  cluster.ApplyAll();
  EXPECT_TRUE(cluster.StatusOf(next).ok());
}

TEST(SynchronousTest, ClosesARoundWhenAllHavePushedInOrderOfWorkers) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t late = cluster.PushPull(2, 0);
  cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(late));
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(late).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100, 200}}));
  EXPECT_EQ(cluster.rounds[1], (Rounds{{0, 100, 200}}));
}

TEST(SynchronousTest, AnswersAPullOnlyWhenTheRoundIsApplied) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.ApplyAll();
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(SynchronousTest, NeverMixesRounds) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  const uint64_t early = cluster.Push(0, 1);  // round 0 is still open
  EXPECT_EQ(cluster.StatusOf(early).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(cluster.StatusOf(early).message(), HasSubstr("worker:0 step 1"));
  cluster.Push(1, 0);
  const uint64_t late = cluster.Push(1, 0);
  EXPECT_TRUE(cluster.StatusOf(late).ok());
  EXPECT_TRUE(cluster.answers[late].taken[0].dropped);
  cluster.Push(1, 1);
  cluster.Push(0, 1);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}, {1, 101}}));
}

TEST(SynchronousTest, WaitsForAWorkerThatJoinsLate) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.Join(0);
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Join(1);
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(SynchronousTest, GoesOnWithoutAWorkerThatLeft) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0}}));
  EXPECT_EQ(cluster.StatusOf(cluster.Push(1, 1)).code(), absl::StatusCode::kFailedPrecondition);
  // Another start of it begins where the others are.
  const uint64_t again = cluster.Join(1, 2);
  EXPECT_TRUE(cluster.StatusOf(again).ok());
  EXPECT_EQ(cluster.answers[again].step, 1);
}

TEST(SynchronousTest, WaitsForASilentWorkerNoLongerThanItsLease) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Advance(absl::Seconds(9));
  cluster.PushPull(0, 0);
  const uint64_t token = cluster.PushPull(1, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Advance(absl::Seconds(1));  // worker 2 is silent
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  // One round behind it does its step, which is late, and is at the next with the others.
  const uint64_t back = cluster.PushPull(2, 0);
  EXPECT_TRUE(cluster.answers[back].taken[0].dropped);
  EXPECT_EQ(cluster.answers[back].step, 1);
  cluster.PushPull(0, 1);
  cluster.PushPull(1, 1);
  EXPECT_EQ(cluster.rounds[0].size(), 1u);  // it is waited for again
  cluster.PushPull(2, 1);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}, {1, 101, 201}}));
}

TEST(SynchronousTest, TheEndOfALeaseIsToldOnceAndSoIsItsReturn) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.PushPull(0, 0);
  cluster.PushPull(1, 0);
  cluster.PushPull(0, 1);
  EXPECT_FALSE(cluster.Numbers().workers[1].silent);
  for (int i = 0; i < 6; ++i) {
    cluster.Advance(absl::Seconds(5));
    cluster.Heartbeat(0);
  }
  ASSERT_EQ(cluster.leases.size(), 1u);
  EXPECT_EQ(cluster.leases[0].worker, 1);
  EXPECT_EQ(cluster.leases[0].step, 1);
  EXPECT_TRUE(cluster.leases[0].ended);
  EXPECT_FALSE(cluster.leases[0].awaited);
  EXPECT_TRUE(cluster.Numbers().workers[1].silent);
  EXPECT_FALSE(cluster.Numbers().workers[0].silent);
  cluster.Heartbeat(1);  // it lives, and does not take part yet
  EXPECT_EQ(cluster.leases.size(), 1u);
  cluster.PushPull(1, 1);
  ASSERT_EQ(cluster.leases.size(), 2u);
  EXPECT_EQ(cluster.leases[1].worker, 1);
  EXPECT_EQ(cluster.leases[1].step, 2);
  EXPECT_FALSE(cluster.leases[1].ended);
  EXPECT_FALSE(cluster.Numbers().workers[1].silent);
  cluster.Pull(1, 2);
  EXPECT_EQ(cluster.leases.size(), 2u);
}

TEST(SynchronousTest, OfOneThatLeavesTheEndOfItsLeaseIsForgotten) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Advance(absl::Seconds(10));
  EXPECT_EQ(cluster.leases.size(), 2u);
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_FALSE(cluster.Numbers().workers[1].silent);
  EXPECT_TRUE(cluster.Numbers().workers[1].left);
  cluster.Join(1, 2);
  cluster.Pull(1, 0);
  EXPECT_EQ(cluster.leases.size(), 2u);
}

TEST(SynchronousTest, OneThatWasSilentForLongGoesOnWhereTheOthersAre) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  for (int step = 0; step < 4; ++step) {
    cluster.PushPull(0, step);
    cluster.Advance(absl::Seconds(5));
    cluster.Heartbeat(0);
    cluster.Advance(absl::Seconds(5));
  }
  EXPECT_EQ(cluster.rounds[0].size(), 4u);
  const uint64_t back = cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.answers[back].taken[0].dropped);
  EXPECT_EQ(cluster.answers[back].step, 4);
  const uint64_t token = cluster.PushPull(0, 4);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.PushPull(1, 4);
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  EXPECT_EQ(cluster.rounds[0].back(), (std::vector<int>{4, 104}));
}

TEST(SynchronousTest, AWorkerStartedAgainAfterItsLeaseJoinsWhereTheOthersAre) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  for (int step = 0; step < 3; ++step) {
    cluster.PushPull(0, step);
    cluster.Advance(absl::Seconds(5));
    cluster.Heartbeat(0);
    cluster.Advance(absl::Seconds(5));
  }
  const uint64_t again = cluster.Join(1, 2);
  EXPECT_EQ(cluster.answers[again].step, 3);
}

TEST(SynchronousTest, OneThatWasSilentIsAwaitedFromItsNextPullOn) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Advance(absl::Seconds(5));
  cluster.Heartbeat(0);
  cluster.Advance(absl::Seconds(5));
  cluster.Heartbeat(1);  // its line may bring no more than that for a while
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());
  cluster.Pull(1, 1);
  const uint64_t token = cluster.PushPull(0, 1);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.PushPull(1, 1);
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(SynchronousTest, ABarrierDoesNotWaitForASilentWorker) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Advance(absl::Seconds(6));
  const uint64_t token = cluster.Barrier(0);
  cluster.Advance(absl::Seconds(3));
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Advance(absl::Seconds(1));
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(SynchronousTest, AwaitsSilentWorkersWhereItWasToldTo) {
  v1::Policy policy = SynchronousPolicy();
  policy.mutable_synchronous()->set_await_silent(true);
  ShardStateCluster cluster(2, policy);
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(29));
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  EXPECT_EQ(cluster.StatusOf(cluster.Join(1, 2)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SynchronousTest, AShardThatWasStoppedItselfTakesNobodyForSilent) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(5));
  cluster.now += absl::Seconds(20);  // no tick comes
  cluster.Heartbeat(0);
  cluster.Advance(absl::Seconds(2));
  EXPECT_FALSE(cluster.Answered(token));
  cluster.PushPull(1, 0);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
}

TEST(SynchronousTest, CountsTheLastGradientOfAWorkerThatLeft) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(1, 0);
  EXPECT_TRUE(cluster.Leave(1).ok());
  cluster.Push(0, 0);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
}

TEST(SynchronousTest, NamesTheMissingWorkerWhenTheDeadlinePasses) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.Join(0);
  cluster.Join(1);
  const uint64_t token = cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(31));
  const absl::Status status = cluster.StatusOf(token);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("worker:2 (has not joined)"));
  EXPECT_THAT(status.message(), HasSubstr("parameter a"));
}

TEST(SynchronousTest, FailsForAllWhenAWorkerFails) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_TRUE(cluster.Leave(1, "out of cheese").ok());
  EXPECT_EQ(cluster.StatusOf(token).code(), absl::StatusCode::kAborted);
  EXPECT_THAT(cluster.StatusOf(token).message(), HasSubstr("worker:1: out of cheese"));
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, 0)).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(cluster.Leave(0).ok());
  EXPECT_TRUE(cluster.state().IsDone(cluster.now));
}

TEST(SynchronousTest, ContinuesARestartedWorkerWithoutTakingItsGradientTwice) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  cluster.Push(1, 0);
  cluster.Push(1, 1);  // then worker 1 dies, and comes back
  cluster.Advance(absl::Seconds(3));
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  EXPECT_EQ(cluster.answers[join].step, 1);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(1, 1, false, 77)).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
  cluster.Push(0, 1);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}, {1, 101}}));
}

// Else nobody would do it again, were it lost with the shard.
TEST(SynchronousTest, WhoIsStartedAgainDoesAgainWhatNobodyKeepsYet) {
  ShardStateCluster cluster(2, SynchronousPolicy(), {}, nullptr, /*acknowledges_applied=*/true);
  cluster.JoinAll();
  cluster.apply_at_once = false;
  cluster.Push(0, 0);
  cluster.Push(1, 0);  // the round is closed
  cluster.Advance(absl::Seconds(3));
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  EXPECT_EQ(cluster.answers[join].step, 0);
  const uint64_t again = cluster.PushPull(1, 0, /*pull=*/false, 77);
  EXPECT_FALSE(cluster.Answered(again));
  cluster.ApplyAll();
  EXPECT_TRUE(cluster.StatusOf(again).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
  cluster.Advance(absl::Seconds(3));
  const uint64_t later = cluster.Join(1, 3);
  EXPECT_EQ(cluster.answers[later].step, 1);
}

TEST(AsynchronousTest, AppliesEachGradientAtOnceAndMeasuresStaleness) {
  ShardStateCluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 0);
  EXPECT_EQ(cluster.answers[first].taken, (std::vector<TakenPush>{{0, false}, {0, false}}));
  const uint64_t second = cluster.PushPull(1, 0);
  EXPECT_EQ(cluster.answers[second].taken, (std::vector<TakenPush>{{1, false}, {1, false}}));
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0}, {100}}));
  const ShardNumbers numbers = cluster.Numbers();
  EXPECT_EQ(numbers.staleness.pushes(), 4);
  EXPECT_EQ(numbers.staleness.sum(), 2);
  EXPECT_EQ(numbers.staleness.max(), 1);
}

TEST(AsynchronousTest, APullSeesTheSendersOwnPush) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.ApplyAll();
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(AsynchronousTest, DoesNotWaitForAnybody) {
  ShardStateCluster cluster(3, AsynchronousPolicy());
  cluster.Join(0);
  for (int step = 0; step < 50; ++step) {
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, step)).ok());
  }
  EXPECT_TRUE(cluster.Leave(0).ok());
  const uint64_t back = cluster.Join(0, 5);
  ASSERT_TRUE(cluster.StatusOf(back).ok());
  EXPECT_EQ(cluster.answers[back].step, 50);
}

TEST(AsynchronousTest, SurvivesAWorkerThatFails) {
  ShardStateCluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  EXPECT_TRUE(cluster.Leave(1, "killed").ok());
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());
}

TEST(AsynchronousTest, IsDoneWhenTheChiefHasLeftAndADeadWorkerIsSilentForALease) {
  ShardStateCluster cluster(3, AsynchronousPolicy());
  cluster.Join(0);
  cluster.Join(1);  // worker 2 never comes, and worker 1 dies
  EXPECT_FALSE(cluster.state().IsDone(cluster.now + absl::Hours(1)));
  EXPECT_TRUE(cluster.Leave(0).ok());
  EXPECT_FALSE(cluster.state().IsDone(cluster.now));
  EXPECT_TRUE(cluster.state().IsDone(cluster.now + absl::Seconds(10)));
}

TEST(SynchronousTest, LetsGoOfTheGradientsOfAFailedJob) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  EXPECT_EQ(cluster.LiveGradients(), 2);
  EXPECT_TRUE(cluster.Leave(1, "out of cheese").ok());
  EXPECT_EQ(cluster.LiveGradients(), 0);
}

TEST(BoundedStalenessTest, HoldsTheFastWorkerAtTheLimit) {
  ShardStateCluster cluster(2, BoundedPolicy(2));
  cluster.JoinAll();
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());  // pulls for step 1
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 1)).ok());  // step 2: two ahead
  const uint64_t third = cluster.PushPull(0, 2);               // step 3 must wait
  EXPECT_FALSE(cluster.Answered(third));
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(third).ok());
}

TEST(BoundedStalenessTest, LimitZeroMakesAllWait) {
  ShardStateCluster cluster(2, BoundedPolicy(0));
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(first));
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(first).ok());
}

TEST(BoundedStalenessTest, WaitsForOneThatJoinsLateButNotForOneThatLeft) {
  ShardStateCluster cluster(2, BoundedPolicy(0));
  cluster.Join(0);
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Join(1);
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(BoundedStalenessTest, OneThatComesBackStartsWhereTheSlowestIs) {
  ShardStateCluster cluster(2, BoundedPolicy(1));
  cluster.JoinAll();
  EXPECT_TRUE(cluster.Leave(1).ok());
  for (int step = 0; step < 7; ++step) {
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, step)).ok());
  }
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  EXPECT_EQ(cluster.answers[join].step, 7);
  cluster.Pull(1, 7);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 7)).ok());
  EXPECT_FALSE(cluster.Answered(cluster.PushPull(0, 8)));
}

TEST(BackupWorkersTest, ClosesARoundWithTheFirstReplicasAndDropsTheLate) {
  ShardStateCluster cluster(3, BackupPolicy(2));
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(2, 0);
  EXPECT_FALSE(cluster.Answered(first));
  cluster.PushPull(0, 0);
  EXPECT_TRUE(cluster.StatusOf(first).ok());
  const uint64_t late = cluster.PushPull(1, 0);
  ASSERT_TRUE(cluster.StatusOf(late).ok());
  EXPECT_EQ(cluster.answers[late].taken, (std::vector<TakenPush>{{1, true}, {1, true}}));
  EXPECT_EQ(cluster.answers[first].taken, (std::vector<TakenPush>{{0, false}, {0, false}}));
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 200}}));
  const ShardNumbers numbers = cluster.Numbers();
  EXPECT_EQ(numbers.staleness.pushes(), 4);
  EXPECT_EQ(numbers.late, 2);
  EXPECT_EQ(numbers.staleness.max(), 0);
  EXPECT_EQ(numbers.staleness.counts(), absl::MakeConstSpan(std::vector<int64_t>{4}));
}

TEST(BackupWorkersTest, OneThatWasLateGoesOnWithTheStepOfTheOthersAndCountsAgain) {
  ShardStateCluster cluster(3, BackupPolicy(2));
  cluster.JoinAll();
  for (int step = 0; step < 3; ++step) {
    cluster.PushPull(0, step);
    cluster.PushPull(2, step);
  }
  const uint64_t late = cluster.PushPull(1, 0);
  ASSERT_TRUE(cluster.StatusOf(late).ok());
  EXPECT_EQ(cluster.answers[late].step, 3);
  cluster.PushPull(0, 3);
  cluster.PushPull(1, 3);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 200}, {1, 201}, {2, 202}, {3, 103}}));
}

TEST(BackupWorkersTest, AWorkerWhoseGradientIsInTheOpenRoundWaitsAndCannotEnterItTwice) {
  ShardStateCluster cluster(3, BackupPolicy(2));
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  const uint64_t again = cluster.Push(0, 1);
  EXPECT_EQ(cluster.StatusOf(again).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(cluster.StatusOf(again).message(), HasSubstr("is in round 0 already"));
  cluster.Advance(absl::Seconds(3));
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(BackupWorkersTest, NeedsNoMoreThanAreThere) {
  ShardStateCluster cluster(3, BackupPolicy(2));
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_TRUE(cluster.Leave(2, "out of cheese").ok());
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(BackupWorkersTest, TheDeadHoldARoundNoLongerThanTheirLease) {
  ShardStateCluster cluster(3, BackupPolicy(2));
  cluster.JoinAll();
  cluster.Advance(absl::Seconds(4));
  const uint64_t token = cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(5));
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Advance(absl::Seconds(1));
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(BackupWorkersTest, ARestartedWorkerStartsAtTheCurrentStepAndIsNotTakenTwice) {
  ShardStateCluster cluster(3, BackupPolicy(2));
  cluster.JoinAll();
  cluster.PushPull(0, 0);
  cluster.PushPull(2, 0);
  cluster.PushPull(0, 1);  // in the open round, and dies
  cluster.Advance(absl::Seconds(5));
  cluster.Heartbeat(1);
  cluster.Heartbeat(2);
  cluster.Advance(absl::Seconds(6));
  const uint64_t join = cluster.Join(0, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  const int64_t step = cluster.answers[join].step;
  EXPECT_EQ(step, 1);
  EXPECT_TRUE(cluster.StatusOf(cluster.Pull(0, step)).ok());
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, step, false, 50)).ok());
  cluster.PushPull(2, 1);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 200}, {1, 201}}));
}

TEST(BackupWorkersTest, WithAllReplicasItIsThePlainPolicy) {
  ShardStateCluster cluster(2, BackupPolicy(2));
  cluster.JoinAll();
  cluster.PushPull(0, 0);
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 1)).code(), absl::StatusCode::kFailedPrecondition);
  cluster.Push(1, 0);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
}

TEST(BoundedStalenessTest, TheDeadHoldNobodyLongerThanTheirLeaseAndComeBackToTheOthers) {
  ShardStateCluster cluster(3, BoundedPolicy(0));
  cluster.JoinAll();
  cluster.PushPull(0, 0);
  const uint64_t token = cluster.PushPull(1, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Advance(absl::Seconds(9));
  cluster.Heartbeat(0);
  cluster.Heartbeat(1);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Advance(absl::Seconds(1));
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  for (int step = 1; step < 5; ++step) {
    cluster.PushPull(0, step);
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(1, step)).ok());
  }
  const uint64_t back = cluster.PushPull(2, 0);  // it was only slow: its gradient counts
  ASSERT_TRUE(cluster.StatusOf(back).ok());
  EXPECT_EQ(cluster.answers[back].step, 5);
  const uint64_t next = cluster.PushPull(0, 5);
  cluster.PushPull(1, 5);
  EXPECT_FALSE(cluster.Answered(next));
  cluster.PushPull(2, 5);
  EXPECT_TRUE(cluster.StatusOf(next).ok());
}

TEST(CorrectionTest, TheRateFallsWithTheStalenessAndTheCompensationIsThePolicys) {
  v1::Policy policy = AsynchronousPolicy();
  policy.set_rate_by_staleness(true);
  policy.mutable_delay_compensation()->set_lambda(2);
  ShardStateCluster cluster(2, policy);
  cluster.JoinAll();
  for (int step = 0; step < 4; ++step) cluster.PushPull(0, step);
  cluster.PushPull(1, 0);
  const std::vector<Correction>& corrections = cluster.corrections[0];
  ASSERT_EQ(corrections.size(), 5u);
  EXPECT_EQ(corrections[3].rate, 1);
  EXPECT_EQ(corrections[3].compensation, 0);  // it met what it was computed from
  EXPECT_EQ(corrections[4].rate, 0.25);
  EXPECT_EQ(corrections[4].compensation, 2);
}

TEST(PhasesTest, WarmsUpSynchronouslyThenGoesOnAsynchronously) {
  ShardStateCluster cluster(2, SwitchPolicy(SynchronousPolicy(), 2, AsynchronousPolicy()));
  cluster.JoinAll();
  for (int step = 0; step < 2; ++step) {
    const uint64_t token = cluster.PushPull(0, step);
    EXPECT_FALSE(cluster.Answered(token));
    cluster.PushPull(1, step);
    EXPECT_TRUE(cluster.StatusOf(token).ok());
  }
  for (int step = 2; step < 5; ++step) {
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, step)).ok());
  }
  cluster.PushPull(1, 2);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}, {1, 101}, {2}, {3}, {4}, {102}}));
}

TEST(PhasesTest, BackToSynchronousDropsWhatWasComputedBeforeAndLevelsTheSteps) {
  ShardStateCluster cluster(2, SwitchPolicy(AsynchronousPolicy(), 5, SynchronousPolicy()));
  cluster.JoinAll();
  for (int step = 0; step < 5; ++step) cluster.PushPull(0, step);
  const uint64_t late = cluster.PushPull(1, 0);  // computed in the phase before
  ASSERT_TRUE(cluster.StatusOf(late).ok());
  EXPECT_TRUE(cluster.answers[late].taken[0].dropped);
  EXPECT_EQ(cluster.answers[late].step, 5);
  const uint64_t first = cluster.PushPull(0, 5);
  EXPECT_FALSE(cluster.Answered(first));
  cluster.PushPull(1, 5);
  EXPECT_TRUE(cluster.StatusOf(first).ok());
  EXPECT_EQ(cluster.rounds[0].back(), (std::vector<int>{5, 105}));
}

TEST(PhasesTest, ABoundHoldsFromWhereItsPhaseBegins) {
  ShardStateCluster cluster(2, SwitchPolicy(AsynchronousPolicy(), 6, BoundedPolicy(1)));
  cluster.JoinAll();
  for (int step = 0; step < 5; ++step) cluster.PushPull(0, step);
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 5)).ok());
  const uint64_t held = cluster.PushPull(0, 6);
  EXPECT_FALSE(cluster.Answered(held));
  const uint64_t behind = cluster.PushPull(1, 1);
  ASSERT_TRUE(cluster.StatusOf(behind).ok());
  EXPECT_EQ(cluster.answers[behind].step, 5);
  EXPECT_FALSE(cluster.Answered(held));
  cluster.PushPull(1, 5);
  EXPECT_TRUE(cluster.StatusOf(held).ok());
}

TEST(GroupsTest, EachParameterIsUnderItsOwnPolicy) {
  const v1::Policy asynchronous = AsynchronousPolicy();
  ShardStateCluster cluster(2, SynchronousPolicy(), {}, &asynchronous);
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
  EXPECT_EQ(cluster.rounds[1], (Rounds{{0}}));
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
  EXPECT_EQ(cluster.rounds[1], (Rounds{{0}, {100}}));
  EXPECT_TRUE(cluster.Leave(1, "out of cheese").ok());
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, 1)).code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace parley
