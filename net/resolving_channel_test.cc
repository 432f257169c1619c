#include "net/resolving_channel.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "net/testing/pending_answer.h"
#include "net/testing/puppet_parameter_server.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// A channel to a puppet that, like a real one, ends what waits with CANCELLED when it goes.
class PuppetChannel : public ForwardingParameterServer {
 public:
  explicit PuppetChannel(PuppetParameterServer* puppet) : ForwardingParameterServer(puppet) {}
  ~PuppetChannel() override {
    if (waiting_) waiting_(absl::CancelledError("the channel was closed"));
  }
  // A barrier is never answered.
  void Barrier(v1::BarrierRequest, Done<v1::BarrierResponse> done) override {
    waiting_ = std::move(done);
  }

 private:
  Done<v1::BarrierResponse> waiting_;
};

class ResolvingChannelTest : public ::testing::Test {
 protected:
  void MoveTo(absl::StatusOr<std::string> address) {
    MutexLock lock(&mutex_);
    address_ = std::move(address);
  }
  PuppetParameterServer& Puppet(const std::string& address) {
    MutexLock lock(&mutex_);
    return puppets_[address];
  }
  int asked() {
    MutexLock lock(&mutex_);
    return asked_;
  }
  absl::Status Heartbeat() {
    PendingAnswer<v1::HeartbeatResponse> answer;
    channel_->Heartbeat({}, answer.Done());
    return answer.Wait().status();
  }
  // As a session does.
  absl::Status RetryUntilReached() {
    absl::Status status;
    do {
      status = Heartbeat();
    } while (absl::IsUnavailable(status));
    return status;
  }

  Mutex mutex_;
  absl::StatusOr<std::string> address_ ABSL_GUARDED_BY(mutex_) = std::string("a:1");
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, PuppetParameterServer> puppets_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ParameterServer> channel_ = NewResolvingChannel(
      "ps:0", "a:1",
      [this] {
        MutexLock lock(&mutex_);
        ++asked_;
        return address_;
      },
      [this](const std::string& address) {
        return std::make_unique<PuppetChannel>(&Puppet(address));
      });
};

TEST_F(ResolvingChannelTest, AsksNobodyWhileCallsSucceedOrAreRefused) {
  EXPECT_TRUE(Heartbeat().ok());
  Puppet("a:1").FailWith(absl::AbortedError("no"));
  EXPECT_TRUE(absl::IsAborted(Heartbeat()));
  Puppet("a:1").FailWith(absl::OkStatus());
  PendingAnswer<ParameterServer::PushPullReply> answer;
  channel_->PushPull({}, Payload(), answer.Done());
  EXPECT_TRUE(answer.Wait().ok());
  EXPECT_EQ(asked(), 0);
  EXPECT_THAT(Puppet("a:1").calls(), SizeIs(3));
}

TEST_F(ResolvingChannelTest, FollowsATaskThatMoved) {
  ASSERT_TRUE(Heartbeat().ok());
  MoveTo(std::string("b:2"));
  Puppet("a:1").FailWith(absl::UnavailableError("lost"));
  EXPECT_TRUE(RetryUntilReached().ok());
  EXPECT_THAT(Puppet("b:2").calls(), SizeIs(1));
  // And again.
  MoveTo(std::string("c:3"));
  Puppet("b:2").FailWith(absl::UnavailableError("lost"));
  EXPECT_TRUE(RetryUntilReached().ok());
  EXPECT_THAT(Puppet("c:3").calls(), SizeIs(1));
}

TEST_F(ResolvingChannelTest, KeepsAskingUntilItIsFound) {
  MoveTo(absl::NotFoundError("nobody is ps:0"));
  Puppet("a:1").FailWith(absl::UnavailableError("lost"));
  while (asked() < 2) EXPECT_TRUE(absl::IsUnavailable(Heartbeat()));
  MoveTo(std::string("b:2"));
  EXPECT_TRUE(RetryUntilReached().ok());
}

TEST_F(ResolvingChannelTest, StaysWithATaskThatCameBackWhereItWas) {
  Puppet("a:1").FailWith(absl::UnavailableError("lost"));
  while (asked() < 2) EXPECT_TRUE(absl::IsUnavailable(Heartbeat()));
  Puppet("a:1").FailWith(absl::OkStatus());
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_THAT(Puppet("b:2").calls(), SizeIs(0));
}

TEST_F(ResolvingChannelTest, WhatWaitsWhereTheTaskWasEndsUnavailable) {
  PendingAnswer<v1::BarrierResponse> waiting;
  channel_->Barrier({}, waiting.Done());
  MoveTo(std::string("b:2"));
  Puppet("a:1").FailWith(absl::UnavailableError("lost"));
  EXPECT_TRUE(RetryUntilReached().ok());
  const absl::Status status = waiting.Wait().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("ps:0 at a:1 is elsewhere now"));
}

TEST_F(ResolvingChannelTest, TheDestructorEndsWhatWaits) {
  PendingAnswer<v1::BarrierResponse> waiting;
  channel_->Barrier({}, waiting.Done());
  channel_.reset();
  EXPECT_TRUE(absl::IsCancelled(waiting.Wait().status()));
}

}  // namespace
}  // namespace parley
