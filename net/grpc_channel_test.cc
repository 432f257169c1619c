#include "net/grpc_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "net/grpc_server.h"
#include "net/testing/payloads.h"
#include "net/testing/pending_answer.h"
#include "net/testing/puppet_parameter_server.h"
#include "net/testing/silent_listener.h"

namespace parley {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using PushPullReply = ParameterServer::PushPullReply;

GrpcChannelOptions WithGrace(absl::Duration grace) {
  GrpcChannelOptions options;
  options.grace = grace;
  return options;
}

std::unique_ptr<GrpcServer> StartServer(ParameterServer* server, int port = 0,
                                        GrpcServerOptions options = {}) {
  absl::StatusOr<std::unique_ptr<GrpcServer>> started =
      GrpcServer::Start(absl::StrCat("127.0.0.1:", port), server, options);
  EXPECT_TRUE(started.ok()) << started.status();
  return *std::move(started);
}

std::string AddressOf(int port) { return absl::StrCat("127.0.0.1:", port); }

absl::Status Heartbeat(ParameterServer* client) {
  PendingAnswer<v1::HeartbeatResponse> answer;
  client->Heartbeat({}, answer.Done());
  return answer.Wait().status();
}

absl::Status Push(ParameterServer* client, size_t bytes, int64_t wait_ms = 30'000) {
  v1::PushPullRequest request;
  request.set_wait_ms(wait_ms);
  PendingAnswer<PushPullReply> answer;
  client->PushPull(request, MakePayload(RandomBytes(1, bytes)), answer.Done());
  return answer.Wait().status();
}

TEST(GrpcChannel, NobodyListeningIsUnavailableAtOnceAndNamesTheTask) {
  const SilentListener nobody(/*listening=*/false);
  ASSERT_NE(nobody.port(), 0);
  const auto client = NewGrpcChannel("ps:1", AddressOf(nobody.port()), WithGrace(absl::Minutes(1)));
  const absl::Time start = absl::Now();
  const absl::Status status = Push(client.get(), 100);
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              StartsWith(absl::StrCat("ps:1 at 127.0.0.1:", nobody.port(), ": PushPull: ")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("refused"));
}

// So that its caller may ask where the task is now: a Join that waited here for a task that has
// moved would wait until its deadline.
TEST(GrpcChannel, JoinAndDeclareDoNotWaitForAConnection) {
  const SilentListener nobody(/*listening=*/false);
  const auto client = NewGrpcChannel("ps:1", AddressOf(nobody.port()));
  v1::JoinRequest join_request;
  join_request.set_wait_ms(600'000);
  PendingAnswer<v1::JoinResponse> join;
  client->Join(join_request, join.Done());
  v1::DeclareRequest declare_request;
  declare_request.set_wait_ms(600'000);
  PendingAnswer<v1::DeclareResponse> declare;
  client->Declare(declare_request, declare.Done());
  for (const absl::Status& status : {join.Wait().status(), declare.Wait().status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), StartsWith("ps:1 at 127.0.0.1:"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("refused"));
  }
}

TEST(GrpcChannel, AHostThatSaysNothingIsUnavailableInTime) {
  const SilentListener silent(/*listening=*/true);
  const auto client =
      NewGrpcChannel("ps:1", AddressOf(silent.port()), WithGrace(absl::Milliseconds(300)));
  EXPECT_EQ(Heartbeat(client.get()).code(), absl::StatusCode::kUnavailable);
  const absl::Status status = Push(client.get(), 100, /*wait_ms=*/100);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not reached within 400ms"));
}

TEST(GrpcChannel, AServerThatNeverAnswersIsDeadlineExceededInTime) {
  PuppetParameterServer puppet;
  puppet.Hold();
  const auto server = StartServer(&puppet);
  const auto client =
      NewGrpcChannel("ps:2", AddressOf(server->port()), WithGrace(absl::Milliseconds(300)));
  const absl::Time start = absl::Now();
  const absl::Status status = Push(client.get(), 100'000, /*wait_ms=*/200);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(450));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), absl::StrCat("ps:2 at 127.0.0.1:", server->port(),
                                           ": PushPull: no answer within 500ms"));
  EXPECT_EQ(Heartbeat(client.get()).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(GrpcChannel, AServerThatStopsMidCallIsUnavailable) {
  PuppetParameterServer puppet;
  puppet.Hold();
  auto server = StartServer(&puppet);
  const auto client = NewGrpcChannel("ps:0", AddressOf(server->port()));
  v1::PushPullRequest request;
  request.set_wait_ms(60'000);
  std::vector<PendingAnswer<PushPullReply>> pushes(4);
  for (const auto& push : pushes) {
    client->PushPull(request, MakePayload(RandomBytes(1, 100'000)), push.Done());
  }
  PendingAnswer<v1::BarrierResponse> barrier;
  client->Barrier({}, barrier.Done());
  ASSERT_TRUE(puppet.AwaitCalls(5));
  server.reset();
  for (const auto& push : pushes) {
    const absl::Status status = push.Wait().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith("ps:0 at 127.0.0.1:"));
  }
  EXPECT_EQ(barrier.Wait().status().code(), absl::StatusCode::kUnavailable);
  puppet.Release();
}

TEST(GrpcChannel, FindsAServerThatCameBack) {
  PuppetParameterServer puppet;
  auto server = StartServer(&puppet);
  const int port = server->port();
  const auto client = NewGrpcChannel("ps:0", AddressOf(port));
  ASSERT_TRUE(Heartbeat(client.get()).ok());
  server.reset();
  server = StartServer(&puppet, port);
  // The first calls may still find the lost connection.
  v1::JoinRequest request;
  request.set_wait_ms(60'000);
  absl::Status status = absl::UnavailableError("not tried yet");
  const absl::Time end = absl::Now() + absl::Minutes(1);
  while (absl::IsUnavailable(status) && absl::Now() < end) {
    PendingAnswer<v1::JoinResponse> join;
    client->Join(request, join.Done());
    status = join.Wait().status();
  }
  EXPECT_TRUE(status.ok()) << status;
}

TEST(GrpcChannel, MessagesOverTheLimitAreResourceExhaustedAndNameTheTask) {
  PuppetParameterServer puppet;
  const auto server = StartServer(&puppet, 0, {100'000});
  GrpcChannelOptions options;
  options.max_message_bytes = 200'000;
  const auto client = NewGrpcChannel("ps:1", AddressOf(server->port()), options);
  // Over the client's own limit, then over the server's, which is asked only then.
  for (const size_t bytes : {200'000, 150'000}) {
    const absl::Status status = Push(client.get(), bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith("ps:1 at 127.0.0.1:"));
    EXPECT_TRUE(puppet.calls().empty());
  }
  EXPECT_TRUE(Push(client.get(), 99'000).ok());
}

TEST(GrpcChannel, AnswersOverTheLimitAreResourceExhausted) {
  PuppetParameterServer puppet;
  PuppetAnswers answers;
  for (int i = 0; i < 10'000; ++i) answers.push_pull.add_version(int64_t{1} << 60);
  puppet.SetAnswers(answers);
  const auto server = StartServer(&puppet);
  GrpcChannelOptions options;
  options.max_message_bytes = 50'000;
  const auto client = NewGrpcChannel("ps:1", AddressOf(server->port()), options);
  const absl::Status status = Push(client.get(), 10);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("ps:1 at 127.0.0.1:"));
}

TEST(GrpcChannel, TheDestructorEndsItsCallsFirst) {
  PuppetParameterServer puppet;
  puppet.Hold();
  const auto server = StartServer(&puppet);
  auto client = NewGrpcChannel("ps:0", AddressOf(server->port()));
  v1::PushPullRequest request;
  request.set_wait_ms(60'000);
  std::vector<PendingAnswer<PushPullReply>> pushes(8);
  for (const auto& push : pushes) client->PushPull(request, MakePayload("1234"), push.Done());
  PendingAnswer<v1::BarrierResponse> barrier;
  client->Barrier({}, barrier.Done());
  ASSERT_TRUE(puppet.AwaitCalls(9));
  client.reset();
  for (const auto& push : pushes) {
    EXPECT_EQ(push.times(), 1);
    EXPECT_EQ(push.Wait().status().code(), absl::StatusCode::kCancelled);
  }
  EXPECT_EQ(barrier.times(), 1);
  puppet.Release();
}

TEST(GrpcChannel, TheDestructorEndsCallsThatNeverReachedAnyone) {
  const SilentListener silent(/*listening=*/true);
  auto client = NewGrpcChannel("ps:0", AddressOf(silent.port()));
  v1::JoinRequest request;
  request.set_wait_ms(60'000);
  PendingAnswer<v1::JoinResponse> join;
  client->Join(request, join.Done());
  client.reset();
  EXPECT_EQ(join.times(), 1);
  EXPECT_EQ(join.Wait().status().code(), absl::StatusCode::kCancelled);
}

TEST(GrpcChannel, AHeartbeatDoesNotWaitBehindPushes) {
  PuppetParameterServer puppet;
  const auto server = StartServer(&puppet);
  const auto client = NewGrpcChannel("ps:0", AddressOf(server->port()));
  ASSERT_TRUE(Push(client.get(), 1000).ok());
  puppet.Hold();
  std::vector<PendingAnswer<PushPullReply>> pushes(64);
  v1::PushPullRequest request;
  request.set_wait_ms(60'000);
  for (const auto& push : pushes) client->PushPull(request, MakePayload("1234"), push.Done());
  ASSERT_TRUE(puppet.AwaitCalls(65));
  PendingAnswer<v1::HeartbeatResponse> heartbeat;
  client->Heartbeat({}, heartbeat.Done());
  ASSERT_TRUE(puppet.AwaitCalls(66));
  // Answers are given last one first, so the heartbeat's comes before any push's.
  puppet.Release();
  EXPECT_TRUE(heartbeat.Wait().ok());
  for (const auto& push : pushes) EXPECT_TRUE(push.Wait().ok());
}

TEST(GrpcChannel, AnEnormousWaitIsNoOverflow) {
  PuppetParameterServer puppet;
  const auto server = StartServer(&puppet);
  const auto client = NewGrpcChannel("ps:0", AddressOf(server->port()));
  EXPECT_TRUE(Push(client.get(), 10, INT64_MAX).ok());
  EXPECT_TRUE(Push(client.get(), 10, INT64_MIN).ok());
}

TEST(GrpcChannel, AHostThatDoesNotExistIsUnavailableAndNamed) {
  const auto client =
      NewGrpcChannel("ps:0", "no.such.host.invalid:1", WithGrace(absl::Seconds(10)));
  const absl::Status status = Heartbeat(client.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("ps:0 at no.such.host.invalid:1"));
}

}  // namespace
}  // namespace parley
