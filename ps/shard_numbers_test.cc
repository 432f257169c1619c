// What a ShardState says of where it stands, with a clock of the test's.

#include "ps/shard_numbers.h"

#include "gtest/gtest.h"
#include "ps/testing/shard_state_cluster.h"

namespace parley {
namespace {

TEST(ShardNumbersTest, TheWorkerThatComesLastIsWaitedFor) {
  ShardStateCluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  cluster.PushPull(2, 0);
  cluster.Advance(absl::Seconds(2));
  cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(3));
  cluster.PushPull(1, 0);
  const ShardNumbers numbers = cluster.Numbers();
  EXPECT_EQ(numbers.workers[0].waited_for, absl::ZeroDuration());
  EXPECT_EQ(numbers.workers[1].waited_for, absl::Seconds(10));  // two blocks, 5 s each
  EXPECT_EQ(numbers.workers[2].waited_for, absl::ZeroDuration());
  EXPECT_EQ(numbers.waited_for_membership, absl::ZeroDuration());
}

TEST(ShardNumbersTest, NobodyIsWaitedForWhereNobodyWaits) {
  ShardStateCluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  for (int step = 0; step < 3; ++step) {
    cluster.PushPull(0, step);
    cluster.Advance(absl::Seconds(1));
  }
  for (const ShardNumbers::Worker& worker : cluster.Numbers().workers) {
    EXPECT_EQ(worker.waited_for, absl::ZeroDuration());
  }
}

TEST(ShardNumbersTest, ARoundThatALeaverCompletesWaitedForTheMembership) {
  ShardStateCluster cluster(2, BackupPolicy(2));
  cluster.JoinAll();
  cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(4));
  ASSERT_TRUE(cluster.Leave(1).ok());
  const ShardNumbers numbers = cluster.Numbers();
  ASSERT_EQ(numbers.rounds, 2);  // of two blocks
  EXPECT_EQ(numbers.waited_for_membership, absl::Seconds(8));
  EXPECT_EQ(numbers.workers[1].waited_for, absl::ZeroDuration());
  EXPECT_TRUE(numbers.workers[1].left);
  EXPECT_FALSE(numbers.workers[1].live);
}

TEST(ShardNumbersTest, RoundsAndRequestsThatWaitAreCounted) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  cluster.PushPull(0, 0);
  EXPECT_EQ(cluster.Numbers().push_pulls_waiting, 1);
  EXPECT_EQ(cluster.Numbers().rounds_queued, 0);
  cluster.PushPull(1, 0);
  EXPECT_EQ(cluster.Numbers().push_pulls_waiting, 2);
  EXPECT_EQ(cluster.Numbers().rounds_queued, 2);
  EXPECT_EQ(cluster.Numbers().rounds, 0);
  cluster.ApplyAll();
  const ShardNumbers numbers = cluster.Numbers();
  EXPECT_EQ(numbers.push_pulls_waiting, 0);
  EXPECT_EQ(numbers.rounds_queued, 0);
  EXPECT_EQ(numbers.rounds, 2);
  EXPECT_EQ(numbers.min_version, 1);
  EXPECT_EQ(numbers.max_version, 1);
  EXPECT_EQ(numbers.blocks, 2);
  EXPECT_EQ(numbers.workers[0].clock, 1);
  cluster.Barrier(0);
  EXPECT_EQ(cluster.Numbers().barriers_waiting, 1);
}

TEST(ShardNumbersTest, GradientsAreCountedByWhatBecameOfThem) {
  ShardStateCluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.PushPull(0, 0, true, 9);
  cluster.PushPull(0, 0, true, 9);
  cluster.PushPull(0, 1, true, 10);
  const ShardNumbers numbers = cluster.Numbers();
  EXPECT_EQ(numbers.staleness.pushes(), 4);
  EXPECT_EQ(numbers.duplicate, 2);
  EXPECT_EQ(numbers.late, 0);
}

TEST(ShardNumbersTest, SilenceGrowsUntilTheWorkerIsHeard) {
  ShardStateCluster cluster(2, SynchronousPolicy());
  cluster.Join(0);
  cluster.Advance(absl::Seconds(4));
  EXPECT_EQ(cluster.Numbers().workers[0].silence, absl::Seconds(4));
  EXPECT_EQ(cluster.Numbers().workers[1].silence, absl::ZeroDuration());  // has not joined
  cluster.Heartbeat(0);
  EXPECT_EQ(cluster.Numbers().workers[0].silence, absl::ZeroDuration());
}

}  // namespace
}  // namespace parley
