// A shard whose changes another task has too (ShardOptions::standby), which dies and takes its
// state back, over a wire that loses answers, breaks, and comes back.

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "ps/standby.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

// The way to a standby.
class Wire final : public ForwardingParameterServer {
 public:
  explicit Wire(uint32_t seed) : ForwardingParameterServer(nullptr), random_(seed) {}

  // Null: nobody is there.
  void ConnectTo(std::shared_ptr<Standby> standby) {
    MutexLock lock(&mutex_);
    standby_ = std::move(standby);
    if (standby_ != nullptr) all_.push_back(standby_);
  }
  // Of all answers this part is lost on the way.
  void LoseAnswers(double part) {
    MutexLock lock(&mutex_);
    lost_ = part;
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    const std::shared_ptr<Standby> standby = Reach();
    if (standby == nullptr) return done(absl::UnavailableError("nobody is there"));
    standby->Replicate(std::move(request), std::move(payload),
                       [lose = Lose(), done = std::move(done),
                        standby](absl::StatusOr<v1::ReplicateResponse> answer) mutable {
                         if (lose) return done(absl::UnavailableError("lost"));
                         done(std::move(answer));
                       });
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    const std::shared_ptr<Standby> standby = Reach();
    if (standby == nullptr) return done(absl::UnavailableError("nobody is there"));
    standby->FetchReplica(
        std::move(request),
        [lose = Lose(), done = std::move(done)](absl::StatusOr<FetchReplicaReply> answer) mutable {
          if (lose) return done(absl::UnavailableError("lost"));
          done(std::move(answer));
        });
  }

 private:
  std::shared_ptr<Standby> Reach() {
    MutexLock lock(&mutex_);
    return standby_;
  }
  bool Lose() {
    MutexLock lock(&mutex_);
    return std::uniform_real_distribution<double>(0, 1)(random_) < lost_;
  }

  mutable Mutex mutex_;
  std::shared_ptr<Standby> standby_ ABSL_GUARDED_BY(mutex_);
  // Who answers must outlive the answer.
  std::vector<std::shared_ptr<Standby>> all_ ABSL_GUARDED_BY(mutex_);
  double lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
};

std::shared_ptr<Standby> NewStandby() {
  Standby::Options options;
  options.task = "ps:1";
  return std::make_shared<Standby>(std::move(options));
}

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
