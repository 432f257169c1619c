#include "net/grpc_answers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "net/grpc_channel.h"
#include "net/grpc_server.h"
#include "net/testing/pending_answer.h"
#include "net/testing/puppet_parameter_server.h"

namespace parley {
namespace {

// A channel to a puppet. Channels of one process may share what takes their answers, so tests speak
// of one channel only.
class GrpcAnswersTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<GrpcServer>> started =
        GrpcServer::Start("127.0.0.1:0", &puppet_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    channel_ = NewGrpcChannel("ps:0", absl::StrCat("127.0.0.1:", server_->port()));
  }
  void TearDown() override {
    channel_.reset();
    server_.reset();
  }

  // The thread that gets the answer to a heartbeat; `then` runs there.
  template <typename Then>
  void Send(std::atomic<std::thread::id>* taker, Then then) {
    channel_->Heartbeat({}, [taker, then](absl::StatusOr<v1::HeartbeatResponse> answer) {
      EXPECT_TRUE(answer.ok()) << answer.status();
      *taker = std::this_thread::get_id();
      then();
    });
  }

  PuppetParameterServer puppet_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<ParameterServer> channel_;
};

TEST_F(GrpcAnswersTest, WhoAttendsTakesTheAnswers) {
  for (int i = 0; i < 20; ++i) {
    const std::unique_ptr<Attendance> attendance = channel_->Attend();
    ASSERT_NE(attendance, nullptr);
    std::atomic<std::thread::id> taker{};
    Send(&taker, [&] { attendance->End(); });
    attendance->Wait();
    EXPECT_EQ(taker.load(), std::this_thread::get_id());
  }
}

TEST_F(GrpcAnswersTest, TheThreadThatHasTakenAnswersGivesWay) {
  for (int i = 0; i < 20; ++i) {
    PendingAnswer<v1::HeartbeatResponse> one;
    channel_->Heartbeat({}, one.Done());  // the thread is there from now on
    ASSERT_TRUE(one.Wait().ok());
    const std::unique_ptr<Attendance> attendance = channel_->Attend();
    ASSERT_NE(attendance, nullptr);
    std::atomic<std::thread::id> taker{};
    // The first answer may come to either, since the thread goes when something has come.
    Send(&taker, [&] { Send(&taker, [&] { attendance->End(); }); });
    attendance->Wait();
    EXPECT_EQ(taker.load(), std::this_thread::get_id());
  }
}

TEST_F(GrpcAnswersTest, OneThreadAttendsAtATime) {
  std::unique_ptr<Attendance> attendance = channel_->Attend();
  ASSERT_NE(attendance, nullptr);
  EXPECT_EQ(channel_->Attend(), nullptr);
  attendance->End();
  attendance->Wait();
  attendance.reset();
  EXPECT_NE(channel_->Attend(), nullptr);
}

TEST_F(GrpcAnswersTest, AnswersThatComeAfterAttendanceGoToTheThreadAgain) {
  puppet_.Hold();
  PendingAnswer<v1::HeartbeatResponse> other;
  {
    const std::unique_ptr<Attendance> attendance = channel_->Attend();
    ASSERT_NE(attendance, nullptr);
    channel_->Heartbeat({}, other.Done());
    ASSERT_TRUE(puppet_.AwaitCalls(1));
    attendance->End();
    attendance->Wait();
  }
  puppet_.Release();
  EXPECT_TRUE(other.Wait().ok());
}

TEST_F(GrpcAnswersTest, AnotherThreadEndsTheWaiting) {
  for (int i = 0; i < 20; ++i) {
    const std::unique_ptr<Attendance> attendance = channel_->Attend();
    ASSERT_NE(attendance, nullptr);
    std::thread other([&] { attendance->End(); });
    attendance->Wait();
    other.join();
  }
}

TEST_F(GrpcAnswersTest, OthersAnswersAreTakenMeanwhile) {
  const std::unique_ptr<Attendance> attendance = channel_->Attend();
  ASSERT_NE(attendance, nullptr);
  std::thread other([&] {
    PendingAnswer<v1::HeartbeatResponse> answer;
    channel_->Heartbeat({}, answer.Done());
    EXPECT_TRUE(answer.Wait().ok());
    attendance->End();
  });
  attendance->Wait();
  other.join();
}

TEST_F(GrpcAnswersTest, ManyThreadsThatAttendByTurnsGetEveryAnswer) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 200;
  std::atomic<int> answers{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) {
        const std::unique_ptr<Attendance> attendance = channel_->Attend();
        PendingAnswer<v1::HeartbeatResponse> answer;
        channel_->Heartbeat({}, [&, done = answer.Done()](auto response) mutable {
          answers += response.ok() ? 1 : 0;
          if (attendance != nullptr) attendance->End();
          done(std::move(response));
        });
        if (attendance != nullptr) attendance->Wait();
        EXPECT_TRUE(answer.Wait().ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answers, kThreads * kCalls);
}

}  // namespace
}  // namespace parley
