// How many workers a ShardState awaits while their number changes.

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/shard_state.h"
#include "ps/testing/shard_state_cluster.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ShardStateWorkersTest, WhoIsNotAskedForCannotJoin) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  ShardState::Actions refused =
      cluster.state().Join(900, 1, 1, cluster.now, cluster.now + absl::Seconds(5));
  ASSERT_EQ(refused.answers.size(), 1u);
  EXPECT_EQ(refused.answers[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.answers[0].status.message(), HasSubstr("parley scale"));
  cluster.AskWorkers(2);
  EXPECT_TRUE(cluster.StatusOf(cluster.Join(1)).ok());
}

TEST(ShardStateWorkersTest, TheChiefHearsOfOthersWhenAllAreThere) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.AskWorkers(3);
  EXPECT_EQ(cluster.state().WorkersReady(), 0);
  cluster.Join(1);
  EXPECT_EQ(cluster.state().WorkersReady(), 0);
  cluster.Join(2);
  EXPECT_EQ(cluster.state().WorkersReady(), 3);
  cluster.AskWorkers(1);  // changed their mind
  EXPECT_EQ(cluster.state().WorkersReady(), 0);
}

TEST(ShardStateWorkersTest, ANewWorkerBeginsWithTheStepThatTheChiefSaid) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.PushPull(0, 0);
  cluster.AskWorkers(2);
  const uint64_t join = cluster.Join(1);
  const uint64_t pull = cluster.Pull(1, cluster.answers[join].step);
  cluster.PushPull(0, 1);  // nobody waits for it, and it for its turn
  EXPECT_FALSE(cluster.Answered(pull));
  cluster.chief_says = 2;
  cluster.PushPull(0, 2);
  ASSERT_TRUE(cluster.Answered(pull));
  EXPECT_EQ(cluster.answers[pull].step, 3);
  ASSERT_NE(cluster.answers[pull].workers, nullptr);
  EXPECT_EQ(cluster.answers[pull].workers->At(2), 1);
  EXPECT_EQ(cluster.answers[pull].workers->At(3), 2);
  const uint64_t chief = cluster.PushPull(0, 3);
  EXPECT_FALSE(cluster.Answered(chief));  // now it is waited for
  cluster.PushPull(1, 3);
  EXPECT_TRUE(cluster.StatusOf(chief).ok());
  const Rounds expected = {{0}, {1}, {2}, {3, 103}};
  EXPECT_EQ(cluster.rounds[0], expected);
  EXPECT_EQ(cluster.rounds[1], expected);
}

// A worker that has left because of a change is missed where the change is lost.
TEST(ShardStateWorkersTest, NobodyHearsOfAChangeBeforeItsRoundIsApplied) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  cluster.chief_says = 1;
  cluster.PushPull(0, 0);
  const uint64_t push = cluster.PushPull(1, 0);
  const uint64_t pull = cluster.Pull(1, 0);
  ASSERT_TRUE(cluster.StatusOf(pull).ok());
  EXPECT_EQ(cluster.answers[pull].workers, nullptr);
  cluster.ApplyAll();
  ASSERT_TRUE(cluster.StatusOf(push).ok());
  ASSERT_NE(cluster.answers[push].workers, nullptr);
  EXPECT_EQ(cluster.answers[push].workers->At(1), 1);
}

// It came when another shard had not been asked yet, and gave up; its supervisor starts it again.
TEST(ShardStateWorkersTest, ANewcomerThatHasLeftIsAwaitedWhenItIsAMember) {
  v1::Policy policy = SynchronousPolicy();
  policy.mutable_synchronous()->set_await_silent(true);
  ShardStateCluster cluster(1, policy);
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  ASSERT_TRUE(cluster.Leave(1).ok());
  cluster.chief_says = 2;  // which another shard's answer made it believe in
  ASSERT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());
  const uint64_t waits = cluster.PushPull(0, 1);
  EXPECT_FALSE(cluster.Answered(waits));
  EXPECT_TRUE(cluster.StatusOf(cluster.Join(1, /*incarnation=*/2)).ok());
  cluster.PushPull(1, 1);
  EXPECT_TRUE(cluster.StatusOf(waits).ok());
}

TEST(ShardStateWorkersTest, AWorkerThatIsOutIsNotAwaitedAndHearsOfIt) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  cluster.chief_says = 2;
  cluster.PushPull(0, 0);
  cluster.PushPull(1, 0);
  const uint64_t last = cluster.PushPull(2, 0);
  ASSERT_TRUE(cluster.StatusOf(last).ok());
  EXPECT_EQ(cluster.answers[last].workers->At(1), 2);
  cluster.PushPull(0, 1);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(1, 1)).ok());
  // One that did not listen.
  const absl::Status refused = cluster.StatusOf(cluster.PushPull(2, 1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("the job has 2 workers"));
  EXPECT_THAT(cluster.rounds[0],
              ElementsAre(std::vector<int>{0, 100, 200}, std::vector<int>{1, 101}));
  EXPECT_TRUE(cluster.Leave(2).ok());
}

TEST(ShardStateWorkersTest, TheJobEndsWithTheWorkersThatItHas) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  cluster.chief_says = 1;
  for (int worker = 0; worker < 3; ++worker) cluster.PushPull(worker, 0);
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_TRUE(cluster.Leave(2).ok());
  const uint64_t barrier = cluster.Barrier(0);  // of those that are in the job
  EXPECT_TRUE(cluster.StatusOf(barrier).ok());
  EXPECT_FALSE(cluster.state().IsDone(cluster.now));
  EXPECT_TRUE(cluster.Leave(0).ok());
  EXPECT_TRUE(cluster.state().IsDone(cluster.now));
}

TEST(ShardStateWorkersTest, AWorkerThatWasOutMayComeAgain) {
  for (const bool awaits : {false, true}) {
    v1::Policy policy = SynchronousPolicy();
    policy.mutable_synchronous()->set_await_silent(awaits);
    ShardStateCluster cluster(2, policy);
    cluster.JoinAll();
    cluster.chief_says = 1;
    cluster.PushPull(0, 0);
    cluster.PushPull(1, 0);
    EXPECT_TRUE(cluster.Leave(1).ok());
    cluster.PushPull(0, 1);
    cluster.AskWorkers(2);
    const uint64_t join = cluster.Join(1, 2);
    ASSERT_TRUE(cluster.StatusOf(join).ok()) << cluster.StatusOf(join);
    const uint64_t pull = cluster.Pull(1, cluster.answers[join].step);
    EXPECT_FALSE(cluster.Answered(pull));
    cluster.chief_says = 2;
    cluster.PushPull(0, 2);
    ASSERT_TRUE(cluster.StatusOf(pull).ok());
    EXPECT_EQ(cluster.answers[pull].step, 3);
    EXPECT_FALSE(cluster.Answered(cluster.PushPull(0, 3)));
  }
}

TEST(ShardStateWorkersTest, ANewWorkerThatDiedBeforeItsTurnIsNotAwaitedPastItsLease) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  cluster.chief_says = 2;
  cluster.PushPull(0, 0);
  const uint64_t chief = cluster.PushPull(0, 1);
  EXPECT_FALSE(cluster.Answered(chief));
  for (int i = 0; i < 11; ++i) {
    cluster.Advance(absl::Seconds(1));
    cluster.Heartbeat(0);
  }
  EXPECT_TRUE(cluster.StatusOf(chief).ok());
}

TEST(ShardStateWorkersTest, AWorkerThatNobodyTakesIntoTheJobHearsWhatItWaitedFor) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  const uint64_t pull = cluster.Pull(1, 0);
  cluster.Advance(absl::Seconds(31));
  EXPECT_EQ(cluster.StatusOf(pull).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(cluster.StatusOf(pull).message(), HasSubstr("waited to become one of the job's"));
}

TEST(ShardStateWorkersTest, AWorkerThatIsNotWantedAfterAllNeedNotWait) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  const uint64_t pull = cluster.Pull(1, 0);
  EXPECT_FALSE(cluster.Answered(pull));
  cluster.AskWorkers(1);
  EXPECT_TRUE(cluster.StatusOf(pull).ok());
  EXPECT_EQ(cluster.StatusOf(cluster.Push(1, 0)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(ShardStateWorkersTest, ANewWorkerThatFailsBeforeItsTurnFailsNobodyElse) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  EXPECT_TRUE(cluster.Leave(1, "another shard was not asked for it yet").ok());
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());
  EXPECT_EQ(cluster.state().WorkersReady(), 0);
  // It is started again.
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  const uint64_t pull = cluster.Pull(1, cluster.answers[join].step);
  EXPECT_EQ(cluster.state().WorkersReady(), 2);
  cluster.chief_says = 2;
  cluster.PushPull(0, 1);
  ASSERT_TRUE(cluster.StatusOf(pull).ok());
  EXPECT_EQ(cluster.answers[pull].step, 2);
}

TEST(ShardStateWorkersTest, AWorkerThatIsStartedAgainInItsLastStepMayDoIt) {
  v1::Policy policy = SynchronousPolicy();
  policy.mutable_synchronous()->set_await_silent(true);
  ShardStateCluster cluster(2, policy);
  cluster.JoinAll();
  cluster.chief_says = 1;
  const uint64_t chief = cluster.PushPull(0, 0);  // which waits for worker 1's step 0
  cluster.Advance(absl::Seconds(5));
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok()) << cluster.StatusOf(join);
  EXPECT_EQ(cluster.answers[join].step, 0);
  EXPECT_TRUE(cluster.StatusOf(cluster.Pull(1, 0)).ok());
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(1, 0)).ok());
  EXPECT_TRUE(cluster.StatusOf(chief).ok());
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_FALSE(cluster.StatusOf(cluster.Join(1, 3)).ok());  // now it is out
}

TEST(ShardStateWorkersTest, WhenTheChiefHasLeftNobodyWaitsToComeIn) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  const uint64_t pull = cluster.Pull(1, 0);
  EXPECT_TRUE(cluster.Leave(0).ok());
  EXPECT_TRUE(cluster.StatusOf(pull).ok());
  EXPECT_EQ(cluster.answers[pull].workers, nullptr);
  EXPECT_TRUE(cluster.state().IsDone(cluster.now));
  EXPECT_TRUE(cluster.Leave(1).ok());
}

TEST(ShardStateWorkersTest, AnAsynchronousJobTakesItsNewWorkersAtOnce) {
  for (const v1::Policy& policy : {AsynchronousPolicy(), BoundedPolicy(1)}) {
    ShardStateCluster cluster(1, policy);
    cluster.JoinAll();
    for (int step = 0; step < 5; ++step) cluster.PushPull(0, step);
    cluster.AskWorkers(2);
    cluster.Join(1);
    const uint64_t pull = cluster.Pull(1, 0);
    EXPECT_FALSE(cluster.Answered(pull));
    cluster.chief_says = 2;
    cluster.PushPull(0, 5);
    ASSERT_TRUE(cluster.StatusOf(pull).ok());
    EXPECT_EQ(cluster.answers[pull].workers->NextStepOf(1, 0), 6);
    EXPECT_TRUE(cluster.StatusOf(cluster.Pull(1, 6)).ok());
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(1, 6)).ok());
  }
}

TEST(ShardStateWorkersTest, TheBoundOnStalenessHoldsForNewWorkersToo) {
  ShardStateCluster cluster(1, BoundedPolicy(1));
  cluster.JoinAll();
  cluster.AskWorkers(2);
  cluster.Join(1);
  cluster.chief_says = 2;
  cluster.PushPull(0, 0);
  cluster.Pull(1, 1);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 1)).ok());
  EXPECT_FALSE(cluster.Answered(cluster.PushPull(0, 2)));  // worker 1 has not done step 1
  cluster.PushPull(1, 1);
  EXPECT_TRUE(cluster.StatusOf(cluster.Pull(0, 3)).ok());
}

TEST(ShardStateWorkersTest, RestoredItTellsWhoIsToComeFromWhoIsToGo) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  ShardBooks books(0, {0, 1}, {0, 0}, {{}, {}}, WorkerCounts(2));
  v1::LogRecord record;
  for (uint32_t block = 0; block < 2; ++block) {  // from step 1 on there is one worker
    record.mutable_round()->set_block(block);
    record.mutable_round()->set_version(1);
    record.mutable_round()->add_clocks(1);
    record.mutable_round()->mutable_workers()->set_from_step(1);
    record.mutable_round()->mutable_workers()->set_count(1);
    ASSERT_TRUE(books.Take(record).ok());
  }
  for (int worker = 0; worker < 3; ++worker) {
    record.mutable_member()->set_worker(worker);
    record.mutable_member()->set_incarnation(1);
    record.mutable_member()->set_presence(v1::Books::LIVE);
    ASSERT_TRUE(books.Take(record).ok());
  }
  cluster.state().Restore(books, cluster.now);
  EXPECT_EQ(cluster.state().workers_asked(), 3);
  EXPECT_EQ(cluster.state().WorkersReady(), 3);
  // It was a member, and does not wait to become one.
  EXPECT_TRUE(cluster.StatusOf(cluster.Pull(1, 0)).ok());
}

TEST(ShardStateWorkersTest, RestoredFromItsBooksItGoesOnWithTheSameWorkers) {
  ShardStateCluster cluster(1, SynchronousPolicy());
  ShardBooks books(0, {0, 1}, {0, 0}, {{}, {}}, WorkerCounts(1));
  for (uint32_t block = 0; block < 2; ++block) {
    v1::LogRecord record;
    record.mutable_round()->set_block(block);
    record.mutable_round()->set_version(1);
    for (int i = 0; i < 2; ++i) record.mutable_round()->add_clocks(1);
    record.mutable_round()->mutable_workers()->set_from_step(1);
    record.mutable_round()->mutable_workers()->set_count(2);
    ASSERT_TRUE(books.Take(record).ok());
  }
  cluster.state().Restore(books, cluster.now);
  EXPECT_EQ(cluster.state().counts().At(0), 1);
  EXPECT_EQ(cluster.state().counts().At(1), 2);
  EXPECT_EQ(cluster.Numbers().members, 2);
  EXPECT_EQ(cluster.state().ClocksOf(0).clocks, (std::vector<int64_t>{1, 1}));
}

}  // namespace
}  // namespace parley
