#include "worker/push_pull_time.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

absl::Duration Ms(double milliseconds) { return absl::Milliseconds(milliseconds); }

// 10 ms on the wire, up and down alike, 6 at the shard, 4 for worker:2.
PushPullTime Request() {
  PushPullTime request;
  request.sent = absl::UnixEpoch();
  request.answered = request.sent + Ms(20);
  request.held = Ms(10);
  request.waited = Ms(4);
  request.waited_for = 2;
  request.pushed_bytes = request.pulled_bytes = 100;
  return request;
}

TEST(SplitWaitTest, AWholeRequestIsWireShardAndWorkers) {
  const WaitParts parts = SplitWait(Ms(20), Request());
  EXPECT_EQ(parts.wire, Ms(10));
  EXPECT_EQ(parts.shard, Ms(6));
  EXPECT_EQ(parts.workers, Ms(4));
  EXPECT_EQ(parts.worker, 2);
}

TEST(SplitWaitTest, WhatWasHiddenBehindComputingIsTheRequestsBeginning) {
  const WaitParts parts = SplitWait(Ms(13), Request());
  EXPECT_EQ(parts.wire, Ms(5));  // down
  EXPECT_EQ(parts.shard, Ms(6));
  EXPECT_EQ(parts.workers, Ms(2));
  const WaitParts short_wait = SplitWait(Ms(7), Request());
  EXPECT_EQ(short_wait.shard, Ms(2));
  EXPECT_EQ(short_wait.worker, -1);  // nobody was waited for meanwhile
}

TEST(SplitWaitTest, ALongerWaitIsTheWires) { EXPECT_EQ(SplitWait(Ms(50), Request()).wire, Ms(40)); }

TEST(SplitWaitTest, NonsenseOfAShardStaysWithinTheWait) {
  PushPullTime request = Request();
  request.held = absl::Hours(1);
  request.waited = -absl::Hours(1);
  const WaitParts parts = SplitWait(Ms(20), request);
  EXPECT_EQ(parts.shard, Ms(20));
  EXPECT_EQ(parts.wire, Ms(0));
  EXPECT_EQ(parts.workers, Ms(0));
}

}  // namespace
}  // namespace parley
