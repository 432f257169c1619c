// A shard whose changes another task has too (ShardOptions::standby), which dies and takes its
// state back, over a wire that loses answers, breaks, and comes back.

#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/standby.h"
#include "ps/testing/one_shard.h"
#include "ps/testing/wire.h"

namespace parley {
namespace {

class ShardReplicaTest : public ::testing::Test {
 protected:
  ShardReplicaTest() : seed_(std::random_device()()), wire_(std::make_shared<Wire>(seed_)) {
    wire_->ConnectTo(NewStandby());
  }

  void Start(OneShard* shard, absl::Duration patience = absl::Minutes(1)) {
    ShardOptions options;
    options.standby = wire_;
    options.standby_patience = patience;
    shard->StartWith(std::move(options));
    shard->shard().RecoverFromStandby();
  }
  void StartNew(OneShard* shard, absl::Duration patience = absl::Minutes(1)) {
    Start(shard, patience);
    ASSERT_TRUE(shard->Declare().ok());
    ASSERT_TRUE(shard->Join(0).ok());
  }
  // Pushes step after step, each until it is taken; calls that come too early are sent again.
  static void Push(OneShard* shard, int64_t step) {
    for (;;) {
      const absl::Status pushed =
          shard->Push(0, step, static_cast<uint64_t>(step) + 1, 0.25f * static_cast<float>(step));
      if (pushed.ok()) return;
      ASSERT_TRUE(absl::IsUnavailable(pushed)) << pushed;
    }
  }

  const uint32_t seed_;
  const std::shared_ptr<Wire> wire_;
};

TEST_F(ShardReplicaTest, AShardThatIsStartedAgainTakesItsStateBack) {
  for (const bool synchronous : {true, false}) {
    wire_->ConnectTo(NewStandby());
    OneShard whole(OneShardSpec(1, synchronous));
    ASSERT_FALSE(whole.Start().value());
    ASSERT_TRUE(whole.Declare().ok());
    ASSERT_TRUE(whole.Join(0).ok());
    OneShard shard(OneShardSpec(1, synchronous));
    StartNew(&shard);
    for (int64_t step = 0; step < 8; ++step) {
      Push(&whole, step);
      Push(&shard, step);
      if (step % 3 == 1) {
        Start(&shard);
        Push(&shard, step);  // its answer was lost, for all the worker knows
      }
    }
    EXPECT_EQ(shard.Pull(8), whole.Pull(8));
  }
}

TEST_F(ShardReplicaTest, ACopyThatHasDivergedIsFoundAndFilledAnew) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard);
  Push(&shard, 0);
  wire_->ChangeNextRound();
  int64_t step = 1;
  for (; step <= 64; ++step) Push(&shard, step);
  const std::vector<float> values = shard.Pull(step);
  Start(&shard);  // from the copy
  Push(&shard, step - 1);
  EXPECT_EQ(shard.Pull(step), values);
}

// Some of its gradients are in rounds and others not, and the shard goes on from a copy that was
// filled meanwhile.
TEST_F(ShardReplicaTest, AWorkerStartedAgainInTheMiddleOfAStepSeesAllBlocksAsTheyWereBeforeIt) {
  OneShard shard(OneShardSpec(2, /*synchronous=*/true));
  Start(&shard);
  ASSERT_TRUE(shard.Declare().ok());
  ASSERT_TRUE(shard.Join(0).ok());
  ASSERT_TRUE(shard.Join(1).ok());
  auto others = shard.BeginPush(0, 0, 1, 1.0f, {0, 1, 2});
  ASSERT_TRUE(shard.Push(1, 0, 1, 2.0f).ok());
  const std::vector<float> before = shard.Pull(1);
  wire_->ConnectTo(NewStandby());
  others = shard.BeginPush(0, 1, 2, 3.0f, {0, 1, 2});
  ASSERT_TRUE(shard.Push(1, 1, 2, 4.0f, {0}).ok());  // so the new copy is whole
  EXPECT_EQ(shard.Pull(1), before);
  Start(&shard);
  ASSERT_EQ(shard.Join(1, /*incarnation=*/2).value(), 1);
  EXPECT_EQ(shard.Pull(1), before);
}

TEST_F(ShardReplicaTest, LostAnswersMakeNoDifference) {
  SCOPED_TRACE(absl::StrCat("seed ", seed_));
  OneShard whole(OneShardSpec(1, /*synchronous=*/false));
  ASSERT_FALSE(whole.Start().value());
  ASSERT_TRUE(whole.Declare().ok());
  ASSERT_TRUE(whole.Join(0).ok());
  wire_->LoseAnswers(0.4);
  OneShard shard(OneShardSpec(1, /*synchronous=*/false));
  StartNew(&shard);
  for (int64_t step = 0; step < 8; ++step) {
    Push(&whole, step);
    Push(&shard, step);
  }
  Start(&shard);
  Push(&shard, 7);
  EXPECT_EQ(shard.Pull(8), whole.Pull(8));
}

TEST_F(ShardReplicaTest, ACopyThatWasLostIsFilledAnewBeforeAnythingIsAcknowledged) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard);
  Push(&shard, 0);
  wire_->ConnectTo(nullptr);
  auto waits = shard.BeginPush(0, 1, 2, 0.25f, {0, 1, 2});
  EXPECT_EQ(waits.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  wire_->ConnectTo(NewStandby());  // the task was started again, with nothing
  EXPECT_TRUE(waits.get().ok());
  Push(&shard, 2);
  const std::vector<float> values = shard.Pull(3);
  Start(&shard);
  Push(&shard, 2);
  EXPECT_EQ(shard.Pull(3), values);
}

TEST_F(ShardReplicaTest, WithoutItsStandbyAShardGoesOnAloneUntilItIsBack) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard, absl::Milliseconds(20));
  Push(&shard, 0);
  wire_->ConnectTo(nullptr);
  Push(&shard, 1);
  Push(&shard, 2);
  const auto standby = NewStandby();
  wire_->ConnectTo(standby);
  // It is found, and filled, while pushes go on: then it is asked for a copy.
  int64_t step = 3;
  bool whole = false;
  while (!whole) {
    Push(&shard, step++);
    v1::FetchReplicaRequest request;
    request.set_piece(1);
    whole = Begin<ParameterServer::FetchReplicaReply>(
                [&](auto done) { standby->FetchReplica(request, std::move(done)); })
                .get()
                .ok();
  }
  Push(&shard, step++);
  const std::vector<float> values = shard.Pull(step);
  Start(&shard);
  Push(&shard, step - 1);
  EXPECT_EQ(shard.Pull(step), values);
}

TEST_F(ShardReplicaTest, WithALogTooTheCopyIsAwaitedAndByCheckpoints) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/false));
  ShardOptions options;
  options.standby = wire_;
  options.standby_patience = absl::Minutes(1);
  options.log_folder = shard.log_folder();
  options.checkpoint_folder = shard.checkpoints();
  shard.StartWith(std::move(options));
  ASSERT_TRUE(shard.Declare().ok());
  ASSERT_TRUE(shard.Join(0).ok());
  wire_->ConnectTo(nullptr);
  auto push = shard.BeginPush(0, 0, 1, 0.25f, {0, 1, 2});
  auto checkpoint = std::async(std::launch::async, [&] { return shard.Checkpoint(1); });
  EXPECT_EQ(push.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  EXPECT_EQ(checkpoint.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  wire_->ConnectTo(NewStandby());
  EXPECT_TRUE(push.get().ok());
  EXPECT_TRUE(checkpoint.get().ok());
}

TEST_F(ShardReplicaTest, AnEarlierStartOfTheTaskIsHeardNoMore) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard);
  Push(&shard, 0);
  OneShard later(OneShardSpec(1, /*synchronous=*/true));
  Start(&later);
  Push(&later, 0);  // it has its state: the push was taken before
  const absl::Status refused = shard.Push(0, 1, 2, 0.25f);
  EXPECT_TRUE(absl::IsAborted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("taken over"));
  EXPECT_FALSE(shard.shard().durability_status().ok());
  Push(&later, 1);
}

TEST_F(ShardReplicaTest, AShardThatBeganAnewDoesNotReplaceACopyThatIsThere) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard);
  Push(&shard, 0);
  const std::vector<float> values = shard.Pull(1);
  // It is started again and cannot reach its copy, so that the chief declares the job anew.
  ShardOptions options;
  options.standby = wire_;
  OneShard hasty(OneShardSpec(1, /*synchronous=*/true));
  hasty.StartWith(options);
  ASSERT_TRUE(hasty.Declare().ok());
  EXPECT_FALSE(hasty.Join(0, 2).ok());
  EXPECT_THAT(std::string(hasty.shard().durability_status().message()),
              ::testing::HasSubstr("start it again"));
  Start(&shard);
  Push(&shard, 0);
  EXPECT_EQ(shard.Pull(1), values);
}

TEST_F(ShardReplicaTest, WhereThereIsNoCopyAJobBeginsAnew) {
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard);
  EXPECT_EQ(shard.Pull(0).size(), static_cast<size_t>(kElements));
}

TEST_F(ShardReplicaTest, AStandbyIsDoneWhenAllWorkersHaveLeft) {
  const auto standby = NewStandby();
  wire_->ConnectTo(standby);
  EXPECT_TRUE(standby->IsDone(absl::Minutes(1)));
  OneShard shard(OneShardSpec(1, /*synchronous=*/true));
  StartNew(&shard);
  EXPECT_FALSE(standby->IsDone(absl::Minutes(1)));
  ASSERT_TRUE(shard.Leave(0).ok());
  EXPECT_TRUE(standby->IsDone(absl::Minutes(1)));
}

TEST_F(ShardReplicaTest, WhatDoesNotFollowIsRefusedAndChangesNothing) {
  const auto standby = NewStandby();
  const auto replicate = [&](v1::ReplicateRequest request, Payload payload = Payload()) {
    return Begin<v1::ReplicateResponse>([&](auto done) {
             standby->Replicate(std::move(request), std::move(payload), std::move(done));
           })
        .get()
        .status();
  };
  v1::ReplicateRequest request;
  EXPECT_TRUE(absl::IsInvalidArgument(replicate(request)));  // no stream
  request.set_stream(7);
  EXPECT_TRUE(absl::IsFailedPrecondition(replicate(request)));  // not begun
  request.set_shard(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(replicate(request)));
  request.set_shard(0);
  request.add_records()->mutable_begin()->mutable_books();  // of no job
  request.add_payload_bytes(0);
  EXPECT_FALSE(replicate(request).ok());
  *request.mutable_records(0)->mutable_begin()->mutable_books()->mutable_spec() =
      Job::Create(OneShardSpec(1, true)).value().spec();
  EXPECT_FALSE(replicate(request).ok());  // books without blocks
  v1::FetchReplicaRequest fetch;
  for (const int piece : {-1, 1, 100}) {
    fetch.set_piece(piece);
    EXPECT_FALSE(Begin<ParameterServer::FetchReplicaReply>(
                     [&](auto done) { standby->FetchReplica(fetch, std::move(done)); })
                     .get()
                     .ok());
  }
}

}  // namespace
}  // namespace parley
