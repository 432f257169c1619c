#include "worker/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/job.h"
#include "net/testing/pending_answer.h"
#include "worker/testing/fake_parameter_server.h"

namespace parley {
namespace {

using Fate = FakeParameterServer::Fate;
using testing::HasSubstr;

// One shard with one parameter in blocks of 4, 4 and 2 elements.
Job MakeJob() {
  v1::JobSpec spec;
  spec.set_name("talk");
  spec.set_num_workers(2);
  spec.set_num_shards(1);
  spec.set_block_elements(4);
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  v1::ParameterSpec* parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(10);
  parameter->set_dtype(v1::FLOAT32);
  absl::StatusOr<Job> job = Job::Create(spec);
  EXPECT_TRUE(job.ok()) << job.status();
  return *std::move(job);
}

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    SessionOptions options;
    options.job = "talk";
    options.worker = 1;
    options.incarnation = 7;
    options.max_in_flight = 8;
    options.max_bytes_ahead = 40;
    options.first_backoff = absl::Milliseconds(2);
    options.answer_grace = absl::Milliseconds(100);
    session_ = std::make_shared<Session>(options, server_, timer_);
  }
  ~SessionTest() override {
    session_->Close();
    timer_->Stop();
  }

  // Gives each PushPull the next of `fates`, and an answer when there are no more.
  void Script(std::vector<Fate> fates) {
    server_->SetScript([fates, next = size_t{0}](const v1::PushPullRequest&) mutable {
      return next < fates.size() ? fates[next++] : Fate::kAnswer;
    });
  }

  PendingAnswer<ParameterServer::PushPullReply> PushPull(const std::vector<uint32_t>& push,
                                                         const std::vector<uint32_t>& pull,
                                                         absl::Duration timeout = absl::Minutes(1),
                                                         uint64_t operation = 1, int64_t step = 5) {
    v1::PushPullRequest request;
    request.set_step(step);
    request.set_pull_step(step + 1);
    Payload payload;
    for (const uint32_t block : push) {
      request.add_push(block);
      payload.Append(gradient_.data() + 4 * block, SizeOf(block) * sizeof(float), owner_);
    }
    std::vector<absl::Span<float>> targets;
    for (const uint32_t block : pull) {
      request.add_pull(block);
      targets.push_back(absl::MakeSpan(target_.data() + 4 * block, SizeOf(block)));
    }
    PendingAnswer<ParameterServer::PushPullReply> answer;
    session_->PushPull(
        operation, std::move(request), [payload] { return payload; }, std::move(targets),
        Timer::After(timeout), answer.Done());
    return answer;
  }
  static size_t SizeOf(uint32_t block) { return block == 2 ? 2 : 4; }

  const Job job_ = MakeJob();
  std::shared_ptr<FakeParameterServer> server_ = std::make_shared<FakeParameterServer>(&job_, 0);
  const std::shared_ptr<Timer> timer_ = std::make_shared<Timer>();
  std::shared_ptr<Session> session_;
  std::shared_ptr<int> owner_ = std::make_shared<int>();
  std::vector<float> gradient_{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  std::vector<float> target_ = std::vector<float>(10, -1.0f);
};

TEST_F(SessionTest, SaysWhoSpeaksAndHowLongItWaits) {
  ASSERT_TRUE(PushPull({0}, {}, absl::Seconds(30)).Wait().ok());
  const v1::PushPullRequest request = server_->push_pulls().at(0);
  EXPECT_EQ(request.sender().job(), "talk");
  EXPECT_EQ(request.sender().worker(), 1);
  EXPECT_EQ(request.sender().incarnation(), 7u);
  EXPECT_EQ(request.dtype(), v1::FLOAT32);
  EXPECT_GT(request.wait_ms(), 20000);
  EXPECT_LE(request.wait_ms(), 30000);
}

TEST_F(SessionTest, ValuesTravelWhole) {
  const auto answer = PushPull({0, 2}, {0, 1, 2}).Wait();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(target_, (std::vector<float>{1, 2, 3, 4, 0, 0, 0, 0, 9, 10}));
  EXPECT_EQ(answer->response.version(0), 1);
  EXPECT_EQ(answer->response.version(1), 0);
  EXPECT_EQ(session_->bytes_pushed(), 24);
  EXPECT_EQ(session_->bytes_pulled(), 40);
}

TEST_F(SessionTest, ALostPushIsSentAgainWithItsNumberAndTakenOnce) {
  Script({Fate::kLoseRequest, Fate::kLoseAnswer, Fate::kTransportLate, Fate::kLoseAnswer});
  const auto answer = PushPull({0, 1}, {1}).Wait();
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto requests = server_->push_pulls();
  ASSERT_EQ(requests.size(), 5u);
  for (const v1::PushPullRequest& request : requests) {
    EXPECT_EQ(request.sequence(), requests[0].sequence());
    EXPECT_LE(request.wait_ms(), requests[0].wait_ms());
  }
  EXPECT_EQ(server_->taken(), 2);
  EXPECT_EQ(target_[4], 5);
  EXPECT_EQ(session_->bytes_pushed(), 5 * 32);
}

TEST_F(SessionTest, PushesHaveNumbersFromOneAndPullsNone) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(PushPull({0}, {}).Wait().ok());
  ASSERT_TRUE(PushPull({}, {0}).Wait().ok());
  const auto requests = server_->push_pulls();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(requests[i].sequence(), i + 1u);
  EXPECT_EQ(requests[3].sequence(), 0u);
}

TEST_F(SessionTest, WhatTheShardDecidesIsFinal) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kAborted, absl::StatusCode::kInvalidArgument,
        absl::StatusCode::kFailedPrecondition, absl::StatusCode::kNotFound,
        absl::StatusCode::kAlreadyExists, absl::StatusCode::kResourceExhausted,
        absl::StatusCode::kDataLoss}) {
    const int before = server_->CallsOf("Barrier");
    server_->FailNext("Barrier", 1, absl::Status(code, "no"));
    PendingAnswer<v1::BarrierResponse> answer;
    session_->Barrier("b", Timer::After(absl::Minutes(1)), answer.Done());
    EXPECT_EQ(answer.Wait().status(), absl::Status(code, "worker:1 barrier b: ps:0: no"));
    EXPECT_EQ(server_->CallsOf("Barrier"), before + 1);
  }
}

TEST_F(SessionTest, ErrorsNameTheTaskTheStepAndTheShard) {
  Script({Fate::kRefuse});
  EXPECT_EQ(PushPull({0}, {}).Wait().status(),
            absl::InvalidArgumentError("worker:1 step 5: ps:0: refused by the script"));
  server_->FailNext("Barrier", 1, absl::NotFoundError("ps:0: no such job"));
  PendingAnswer<v1::BarrierResponse> answer;
  session_->Barrier("b", Timer::After(absl::Minutes(1)), answer.Done());
  EXPECT_EQ(answer.Wait().status(), absl::NotFoundError("worker:1 barrier b: ps:0: no such job"));
}

TEST_F(SessionTest, ADeadlineThatTheShardKeptIsFinalAndKeepsItsMessage) {
  Script({Fate::kHold});
  server_->FailNext("Barrier", 1, absl::DeadlineExceededError("ps:0: worker:0 is missing"));
  // A deadline so near that an answer now is one in its time.
  PendingAnswer<v1::BarrierResponse> answer;
  session_->Barrier("b", Timer::After(absl::Milliseconds(5)), answer.Done());
  const absl::Status status = answer.Wait().status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LE(server_->CallsOf("Barrier"), 1);
}

TEST_F(SessionTest, AShardThatIsGoneIsAnErrorByTheDeadline) {
  server_->FailNext("Leave", 1000000, absl::UnavailableError("connection refused"));
  const Timer::Time begin = Timer::Now();
  PendingAnswer<v1::LeaveResponse> answer;
  session_->Leave("", Timer::After(absl::Milliseconds(100)), answer.Done());
  const absl::Status status = answer.Wait().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker:1 Leave: ps:0 (attempt "));
  EXPECT_LT(Timer::Now() - begin, std::chrono::seconds(30));
  EXPECT_GT(server_->CallsOf("Leave"), 2);
}

TEST_F(SessionTest, AShardThatNeverAnswersIsAnErrorAfterTheGrace) {
  Script({Fate::kHold});
  const auto answer = PushPull({0}, {0}, absl::Milliseconds(20));
  const absl::Status status = answer.Wait().status();
  EXPECT_EQ(status,
            absl::DeadlineExceededError("worker:1 step 5: ps:0: no answer by the deadline"));
  server_->Release();  // too late
  EXPECT_EQ(target_[0], -1);
  EXPECT_EQ(answer.times(), 1);
}

TEST_F(SessionTest, NothingIsSentAfterTheDeadline) {
  const auto answer = PushPull({0}, {}, -absl::Seconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.Wait().status()));
  EXPECT_TRUE(server_->push_pulls().empty());
}

TEST_F(SessionTest, AMalformedAnswerIsInternalAndWritesNothing) {
  Script({Fate::kWrongBytes, Fate::kWrongCounts});
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = PushPull({0}, {0, 1}).Wait().status();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("worker:1 step 5: ps:0: malformed"));
  }
  EXPECT_EQ(target_, std::vector<float>(10, -1.0f));
}

TEST_F(SessionTest, ThePayloadIsLetGoWithTheAnswer) {
  Script({Fate::kLoseRequest});
  ASSERT_TRUE(PushPull({0}, {}).Wait().ok());
  // The sending thread's own copy goes when its call returns.
  const Timer::Time end = Timer::After(absl::Minutes(1));
  while (owner_.use_count() > 1 && Timer::Now() < end) std::this_thread::yield();
  EXPECT_EQ(owner_.use_count(), 1);
}

TEST_F(SessionTest, BoundsWhatIsUnderWayAndQueuesTheRest) {
  Script(std::vector<Fate>(30, Fate::kHold));
  std::vector<PendingAnswer<ParameterServer::PushPullReply>> answers;
  for (int i = 0; i < 15; ++i) answers.push_back(PushPull({0}, {}));
  EXPECT_EQ(server_->push_pulls().size(), 8u);
  for (int i = 0; i < 15; ++i) answers.push_back(PushPull({}, {1}));
  EXPECT_EQ(server_->push_pulls().size(), 16u);
  // A request with both waits for nobody: another worker's may wait for its gradient.
  answers.push_back(PushPull({0}, {0}));
  EXPECT_EQ(server_->push_pulls().size(), 17u);
  for (int i = 0; i < 4; ++i) server_->Release();
  for (const auto& answer : answers) EXPECT_TRUE(answer.Wait().ok());
  EXPECT_EQ(server_->max_unanswered(), 17);
  EXPECT_EQ(server_->push_pulls().size(), 31u);
  std::set<uint64_t> sequences;
  for (const v1::PushPullRequest& request : server_->push_pulls()) {
    if (request.push_size() == 0) continue;
    EXPECT_TRUE(sequences.insert(request.sequence()).second);
  }
  EXPECT_EQ(*sequences.rbegin(), 16u);
}

TEST_F(SessionTest, OneWhoRunsAheadHasTwoStepsUnderWayOrSomeBytes) {
  Script(std::vector<Fate>(20, Fate::kHold));
  std::vector<PendingAnswer<ParameterServer::PushPullReply>> answers;
  const auto push_pull = [&](int64_t step, uint64_t operation) {
    answers.push_back(PushPull({0}, {0}, absl::Minutes(1), operation, step));
  };
  for (int i = 0; i < 3; ++i) push_pull(5, 1);
  for (int i = 0; i < 3; ++i) push_pull(6, 2);
  EXPECT_EQ(server_->push_pulls().size(), 6u);  // 96 bytes
  for (int64_t step = 7; step < 10; ++step) push_pull(step, static_cast<uint64_t>(step - 4));
  EXPECT_EQ(server_->push_pulls().size(), 6u);
  push_pull(4, 6);  // nothing of an earlier step waits for a later one
  EXPECT_EQ(server_->push_pulls().size(), 7u);
  session_->CancelOperation(6, absl::CancelledError(""));
  EXPECT_EQ(server_->push_pulls().size(), 7u);
  session_->CancelOperation(1, absl::CancelledError(""));
  EXPECT_EQ(server_->push_pulls().size(), 8u);  // of step 7: now 6 is the oldest
  session_->CancelOperation(2, absl::CancelledError(""));
  EXPECT_EQ(server_->push_pulls().size(), 9u);  // of step 8; with 32 bytes under way 9 has no room
  session_->CancelOperation(3, absl::CancelledError(""));
  EXPECT_EQ(server_->push_pulls().size(), 10u);
  server_->Release();
  for (int i = 6; i < 9; ++i) EXPECT_EQ(answers[i].Wait().ok(), i != 6) << i;
}

TEST_F(SessionTest, ALongQueueOfInlineAnswersDoesNotDeepenTheStack) {
  server_->AnswerInline();
  Script(std::vector<Fate>(8, Fate::kHold));
  std::vector<PendingAnswer<ParameterServer::PushPullReply>> answers;
  for (int i = 0; i < 20000; ++i) answers.push_back(PushPull({}, {2}));
  EXPECT_EQ(server_->push_pulls().size(), 8u);
  server_->Release();
  for (const auto& answer : answers) ASSERT_TRUE(answer.Wait().ok());
  EXPECT_EQ(server_->push_pulls().size(), 20000u);
}

TEST_F(SessionTest, CancellingAnOperationEndsItsCallsOnly) {
  Script(std::vector<Fate>(9, Fate::kHold));
  std::vector<PendingAnswer<ParameterServer::PushPullReply>> first;
  for (int i = 0; i < 9; ++i) first.push_back(PushPull({}, {0}, absl::Minutes(1), 1));
  const auto second = PushPull({0}, {0}, absl::Minutes(1), 2);
  session_->CancelOperation(1, absl::CancelledError("enough"));
  for (const auto& answer : first) EXPECT_TRUE(absl::IsCancelled(answer.Wait().status()));
  EXPECT_EQ(second.times(), 0);
  server_->Release();
  EXPECT_TRUE(second.Wait().ok());
  EXPECT_TRUE(PushPull({}, {1}).Wait().ok());  // the places are free again
  EXPECT_EQ(server_->push_pulls().size(), 10u);
  for (const auto& answer : first) EXPECT_EQ(answer.times(), 1);
}

TEST_F(SessionTest, CloseEndsAllCallsAndLetsGoOfTheShard) {
  Script({Fate::kNever});
  const auto answer = PushPull({0}, {0});
  session_->Close();
  EXPECT_TRUE(absl::IsCancelled(answer.Wait().status()));
  EXPECT_TRUE(absl::IsCancelled(PushPull({0}, {0}).Wait().status()));
  const std::weak_ptr<FakeParameterServer> server = server_;
  server_.reset();
  EXPECT_TRUE(server.expired());
}

TEST_F(SessionTest, HeartbeatsGoOnThroughLossesAndTellOfASuccessor) {
  server_->FailNext("Heartbeat", 2, absl::UnavailableError("lost"));
  auto superseded = std::make_shared<std::promise<absl::Status>>();
  auto future = superseded->get_future();
  session_->StartHeartbeats(absl::ZeroDuration(),
                            [superseded, told = false](absl::Status status) mutable {
                              if (!told) superseded->set_value(std::move(status));
                              told = true;
                            });
  EXPECT_TRUE(server_->AwaitHeartbeats(5));
  EXPECT_NE(future.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  server_->FailNext("Heartbeat", 1, absl::AbortedError("ps:0: a newer one"));
  EXPECT_EQ(future.get(), absl::AbortedError("worker:1 Heartbeat: ps:0: a newer one"));
}

}  // namespace
}  // namespace parley
