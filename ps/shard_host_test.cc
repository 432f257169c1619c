#include "ps/shard_host.h"

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"
#include "ps/testing/wire.h"

namespace parley {
namespace {

// A task with one shard, of a job of two workers who are in it.
class ShardHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    host_.Add(0, shard_, [this] { return may_speak_.load(); });
    v1::DeclareRequest declare;
    *declare.mutable_spec() = OneShardSpec(2, /*synchronous=*/true);
    ASSERT_TRUE(
        Begin<v1::DeclareResponse>([&](auto done) { host_.Declare(declare, std::move(done)); })
            .get()
            .ok());
    for (int worker = 0; worker < 2; ++worker) {
      v1::JoinRequest join;
      *join.mutable_sender() = Sender(worker);
      *join.mutable_spec() = declare.spec();
      ASSERT_TRUE(Begin<v1::JoinResponse>([&](auto done) { host_.Join(join, std::move(done)); })
                      .get()
                      .ok());
    }
  }

  static v1::Sender Sender(int worker) {
    v1::Sender sender;
    sender.set_job("job");
    sender.set_worker(worker);
    sender.set_incarnation(1);
    return sender;
  }
  static std::future<absl::StatusOr<v1::BarrierResponse>> Barrier(ParameterServer* server,
                                                                  int worker) {
    v1::BarrierRequest request;
    *request.mutable_sender() = Sender(worker);
    request.set_name("here");
    request.set_wait_ms(30000);
    return Begin<v1::BarrierResponse>(
        [&](auto done) { server->Barrier(request, std::move(done)); });
  }

  const std::shared_ptr<Standby> standby_ = NewStandby();
  const std::shared_ptr<Shard> shard_ = std::make_shared<Shard>(ShardOptions());
  ShardHost host_{0, standby_.get()};
  std::atomic<bool> may_speak_{true};
};

TEST_F(ShardHostTest, WhoMayNotSpeakForAShardGivesItNoCalls) {
  may_speak_ = false;
  const absl::Status refused = Barrier(&host_, 0).get().status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("does not speak"));
}

TEST_F(ShardHostTest, AnAnswerThatComesWhenItMayNotSpeakAnyMoreIsNotGiven) {
  auto waits = Barrier(&host_, 0);
  may_speak_ = false;
  EXPECT_TRUE(Barrier(shard_.get(), 1).get().ok());  // the barrier opens, in the shard
  const absl::Status refused = waits.get().status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
}

// It may end because it does not get into etcd, and would take the copy with it.
TEST_F(ShardHostTest, BeforeItsTaskIsInEtcdItKeepsNoCopies) {
  const auto replicate = [&] {
    v1::ReplicateRequest request;
    request.set_shard(1);
    request.set_term(1);
    request.set_stream(7);
    request.set_ends(true);
    return Begin<v1::ReplicateResponse>(
               [&](auto done) { host_.Replicate(request, Payload(), std::move(done)); })
        .get()
        .status();
  };
  EXPECT_TRUE(absl::IsUnavailable(replicate())) << replicate();
  host_.KeepCopies();
  EXPECT_TRUE(replicate().ok()) << replicate();
}

TEST_F(ShardHostTest, AShardThatIsNotHereIsLookedForElsewhere) {
  v1::BarrierRequest request;
  *request.mutable_sender() = Sender(0);
  request.mutable_sender()->set_shard(1);
  const absl::Status refused =
      Begin<v1::BarrierResponse>([&](auto done) { host_.Barrier(request, std::move(done)); })
          .get()
          .status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("ps:1"));
}

}  // namespace
}  // namespace parley
