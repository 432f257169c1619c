#include "net/testing/parameter_server_suite.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "net/testing/payloads.h"
#include "net/testing/pending_answer.h"

namespace parley {
namespace {

using PushPullReply = ParameterServer::PushPullReply;

v1::Sender SomeSender() {
  v1::Sender sender;
  sender.set_job("a job");
  sender.set_worker(3);
  sender.set_incarnation(uint64_t{1} << 63);
  return sender;
}

v1::PushPullRequest SomePushPull() {
  v1::PushPullRequest request;
  *request.mutable_sender() = SomeSender();
  request.set_step(int64_t{1} << 40);
  request.set_sequence(7);
  request.set_wait_ms(60'000);
  for (uint32_t block = 0; block < 3; ++block) {
    request.add_push(block);
    request.add_base_version(100 + block);
    request.add_pull(10 + block);
  }
  request.set_pull_step(-1);
  request.set_dtype(v1::FLOAT32);
  return request;
}

// Signals when the last holder of a payload's memory has dropped it.
class OwnerProbe {
 public:
  std::shared_ptr<const void> NewOwner() {
    return std::shared_ptr<const void>(this, [](const void* probe) {
      auto* self = static_cast<OwnerProbe*>(const_cast<void*>(probe));
      MutexLock lock(&self->mutex_);
      self->dropped_ = true;
      self->changed_.NotifyAll();
    });
  }
  bool AwaitDropped() {
    MutexLock lock(&mutex_);
    for (int i = 0; i < 60 && !dropped_; ++i) changed_.WaitFor(&mutex_, absl::Seconds(1));
    return dropped_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool dropped_ ABSL_GUARDED_BY(mutex_) = false;
};

// Calls `method` and expects that `request` arrives and `response` comes back.
template <typename Request, typename Response>
void ExpectRoundTrip(ParameterServer* client, PuppetParameterServer* server, const char* name,
                     void (ParameterServer::*method)(Request, ParameterServer::Done<Response>),
                     const Request& request, const Response& response) {
  PendingAnswer<Response> answer;
  (client->*method)(request, answer.Done());
  const absl::StatusOr<Response> got = answer.Wait();
  ASSERT_TRUE(got.ok()) << name << ": " << got.status();
  EXPECT_EQ(got->ShortDebugString(), response.ShortDebugString()) << name;
  EXPECT_EQ(server->calls().back(), absl::StrCat(name, " {", request.ShortDebugString(), "}"));
}

}  // namespace

TEST_P(ParameterServerSuite, EveryMethodCarriesItsRequestAndItsAnswer) {
  PuppetAnswers answers;
  answers.declare.set_num_blocks(12);
  answers.declare.set_bytes(int64_t{1} << 41);
  answers.join.set_step(99);
  answers.join.set_heartbeat_ms(2500);
  answers.push_pull.add_staleness(5);
  answers.push_pull.add_version(6);
  answers.checkpoint.set_file("step-7.shard");
  answers.checkpoint.set_crc32c(0xfedcba98);
  for (int block = 0; block < 1000; ++block) {
    v1::BlockDescription* description = answers.describe_blocks.add_blocks();
    description->set_block(block);
    description->set_parameter("a/weight");
    description->set_offset(int64_t{block} << 18);
  }
  answers.get_status.add_workers()->set_state(v1::GetStatusResponse::Worker::LIVE);
  answers.get_status.set_staleness_max(4);
  answers.ask.set_ticket(uint64_t{1} << 63);
  answers.get_norm_sums.add_sums(1e300);
  answers.get_norm_sums.set_finished(true);
  server_.SetAnswers(answers);

  v1::DeclareRequest declare;
  declare.mutable_spec()->set_name("a job");
  declare.set_checkpoint("manifest-7");
  ExpectRoundTrip(client(), &server_, "Declare", &ParameterServer::Declare, declare,
                  answers.declare);
  v1::JoinRequest join;
  *join.mutable_sender() = SomeSender();
  join.set_wait_ms(1000);
  ExpectRoundTrip(client(), &server_, "Join", &ParameterServer::Join, join, answers.join);
  v1::HeartbeatRequest heartbeat;
  *heartbeat.mutable_sender() = SomeSender();
  ExpectRoundTrip(client(), &server_, "Heartbeat", &ParameterServer::Heartbeat, heartbeat,
                  answers.heartbeat);
  v1::LeaveRequest leave;
  leave.set_error("its data ended");
  ExpectRoundTrip(client(), &server_, "Leave", &ParameterServer::Leave, leave, answers.leave);
  v1::BarrierRequest barrier;
  barrier.set_name("start");
  ExpectRoundTrip(client(), &server_, "Barrier", &ParameterServer::Barrier, barrier,
                  answers.barrier);
  v1::CheckpointRequest checkpoint;
  checkpoint.set_step(7);
  ExpectRoundTrip(client(), &server_, "Checkpoint", &ParameterServer::Checkpoint, checkpoint,
                  answers.checkpoint);
  v1::DescribeBlocksRequest describe;
  describe.set_job("a job");
  ExpectRoundTrip(client(), &server_, "DescribeBlocks", &ParameterServer::DescribeBlocks, describe,
                  answers.describe_blocks);
  v1::GetNormSumsRequest get_norm_sums;
  *get_norm_sums.mutable_sender() = SomeSender();
  get_norm_sums.set_round(int64_t{1} << 41);
  get_norm_sums.set_wait_ms(1000);
  ExpectRoundTrip(client(), &server_, "GetNormSums", &ParameterServer::GetNormSums, get_norm_sums,
                  answers.get_norm_sums);
  v1::SetNormTotalsRequest set_norm_totals;
  set_norm_totals.add_totals(0.1);
  ExpectRoundTrip(client(), &server_, "SetNormTotals", &ParameterServer::SetNormTotals,
                  set_norm_totals, answers.set_norm_totals);
  v1::GetStatusRequest get_status;
  get_status.set_job("a job");
  ExpectRoundTrip(client(), &server_, "GetStatus", &ParameterServer::GetStatus, get_status,
                  answers.get_status);
  v1::AskRequest ask;
  ask.set_what(v1::AskRequest::STOP);
  ExpectRoundTrip(client(), &server_, "Ask", &ParameterServer::Ask, ask, answers.ask);

  PendingAnswer<PushPullReply> answer;
  client()->PushPull(SomePushPull(), Payload(), answer.Done());
  const absl::StatusOr<PushPullReply> reply = answer.Wait();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->response.ShortDebugString(), answers.push_pull.ShortDebugString());
  EXPECT_EQ(server_.calls().back(),
            absl::StrCat("PushPull {", SomePushPull().ShortDebugString(), "}"));
}

TEST_P(ParameterServerSuite, EveryErrorOfTheServerComesUnchanged) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status failure(
        static_cast<absl::StatusCode>(code),
        absl::StrCat("ps:0, parameter a/b, step ", code, ": \"100%\"\n\xc3\xa4"));
    server_.FailWith(failure);
    PendingAnswer<v1::BarrierResponse> barrier;
    client()->Barrier({}, barrier.Done());
    EXPECT_EQ(barrier.Wait().status(), failure);
    PendingAnswer<PushPullReply> push_pull;
    client()->PushPull(SomePushPull(), MakePayload("1234"), push_pull.Done());
    EXPECT_EQ(push_pull.Wait().status(), failure);
  }
}

TEST_P(ParameterServerSuite, PayloadsArriveUnchanged) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{3}, size_t{65535}, size_t{65536},
                            size_t{65537}, (size_t{1} << 20) + 1, size_t{9} << 20}) {
    for (const size_t slice_size : {SIZE_MAX, size / 3 + 1}) {
      const std::string bytes = RandomBytes(size, size);
      PendingAnswer<PushPullReply> answer;
      client()->PushPull(SomePushPull(), MakePayload(bytes, slice_size), answer.Done());
      const absl::StatusOr<PushPullReply> reply = answer.Wait();
      ASSERT_TRUE(reply.ok()) << size << ": " << reply.status();
      EXPECT_TRUE(BytesOf(reply->payload) == bytes) << size;
    }
  }
}

TEST_P(ParameterServerSuite, ManyCallsAtOnceGetTheirOwnAnswersInAnyOrder) {
  constexpr int kThreads = 8;
  constexpr int kCallsEach = 8;
  server_.Hold();
  std::vector<std::vector<PendingAnswer<PushPullReply>>> answers(
      kThreads, std::vector<PendingAnswer<PushPullReply>>());
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kCallsEach; ++i) answers[t].emplace_back();
    threads.emplace_back([this, t, &answers] {
      for (int i = 0; i < kCallsEach; ++i) {
        client()->PushPull(SomePushPull(), MakePayload(RandomBytes(t * 100 + i, 40'000)),
                           answers[t][i].Done());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(server_.AwaitCalls(kThreads * kCallsEach));
  server_.Release();
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kCallsEach; ++i) {
      const absl::StatusOr<PushPullReply> reply = answers[t][i].Wait();
      ASSERT_TRUE(reply.ok()) << reply.status();
      EXPECT_TRUE(BytesOf(reply->payload) == RandomBytes(t * 100 + i, 40'000));
      EXPECT_EQ(answers[t][i].times(), 1);
    }
  }
}

TEST_P(ParameterServerSuite, ARequestsMemoryIsLetGo) {
  const std::string bytes = RandomBytes(1, 300'000);
  OwnerProbe probe;
  {
    Payload payload;
    payload.Append(bytes.data(), bytes.size(), probe.NewOwner());
    PendingAnswer<PushPullReply> answer;
    client()->PushPull(SomePushPull(), std::move(payload), answer.Done());
    ASSERT_TRUE(answer.Wait().ok());
  }
  EXPECT_TRUE(probe.AwaitDropped());
}

TEST_P(ParameterServerSuite, AnAnswersPayloadStaysAsLongAsItIsHeld) {
  std::vector<Payload> held;
  for (int i = 0; i < 20; ++i) {
    PendingAnswer<PushPullReply> answer;
    client()->PushPull(SomePushPull(), MakePayload(RandomBytes(i, 200'000)), answer.Done());
    absl::StatusOr<PushPullReply> reply = answer.Wait();
    ASSERT_TRUE(reply.ok()) << reply.status();
    held.push_back(reply->payload.Sub(1, 150'000));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(BytesOf(held[i]) == RandomBytes(i, 200'000).substr(1, 150'000));
  }
}

TEST_P(ParameterServerSuite, CallsMayBeMadeFromAnAnswer) {
  PendingAnswer<v1::HeartbeatResponse> second;
  client()->Heartbeat({}, [this, done = second.Done()](auto first) mutable {
    if (!first.ok()) return done(first.status());
    client()->Heartbeat({}, std::move(done));
  });
  EXPECT_TRUE(second.Wait().ok());
  EXPECT_EQ(server_.calls().size(), 2u);
}

}  // namespace parley
