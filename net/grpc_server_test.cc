#include "net/grpc_server.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/tsan.h"
#include "net/health.grpc.pb.h"
#include "net/testing/payloads.h"
#include "net/testing/pending_answer.h"
#include "net/testing/puppet_parameter_server.h"
#include "proto/parameter_server.grpc.pb.h"

namespace parley {
namespace {

using testing::HasSubstr;

// A server on a puppet, and gRPC as any other program would use it.
class GrpcServerTest : public testing::Test {
 protected:
  void Start(GrpcServerOptions options = {}) {
    absl::StatusOr<std::unique_ptr<GrpcServer>> started =
        GrpcServer::Start("localhost:0", &puppet_, options);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("localhost:", server_->port()),
                                         grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::ParameterServer::NewStub(channel_);
  }

  // The status of a call with these raw bytes.
  grpc::Status CallRaw(const std::string& method, const std::string& bytes) {
    grpc::ClientContext context;
    SetDeadline(&context);
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::CompletionQueue queue;
    auto call = grpc::GenericStub(channel_).PrepareUnaryCall(&context, method, request, &queue);
    grpc::ByteBuffer response;
    grpc::Status status;
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    return status;
  }

  static void SetDeadline(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  // `answer`'s callback as gRPC takes it: copyable.
  static std::function<void(grpc::Status)> Callback(const PendingAnswer<grpc::Status>& answer) {
    auto done = std::make_shared<ParameterServer::Done<grpc::Status>>(answer.Done());
    TsanRelease(done.get());
    return [done = done.get(), owner = std::move(done)](const grpc::Status& status) {
      TsanAcquire(done);
      (*done)(status);
    };
  }

  static std::string StatusText(const PendingAnswer<grpc::Status>& answer) {
    const absl::StatusOr<grpc::Status> status = answer.Wait(absl::ZeroDuration());
    return status.ok() ? absl::StrCat(status->error_code(), ": ", status->error_message())
                       : "still waiting";
  }

  PuppetParameterServer puppet_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ParameterServer::Stub> stub_;
};

TEST_F(GrpcServerTest, SpeaksPlainProtobuf) {
  PuppetAnswers answers;
  answers.push_pull.add_version(17);
  answers.join.set_step(3);
  puppet_.SetAnswers(answers);
  Start();

  grpc::ClientContext join_context;
  SetDeadline(&join_context);
  v1::JoinResponse join;
  ASSERT_TRUE(stub_->Join(&join_context, v1::JoinRequest(), &join).ok());
  EXPECT_EQ(join.step(), 3);

  v1::PushPullRequest request;
  request.set_step(5);
  request.add_pull(2);
  request.set_payload(RandomBytes(1, 1'000'001));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::PushPullResponse response;
  const grpc::Status status = stub_->PushPull(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.payload() == request.payload());
  EXPECT_EQ(response.version(0), 17);
  request.clear_payload();
  EXPECT_EQ(puppet_.calls().back(), absl::StrCat("PushPull {", request.ShortDebugString(), "}"));
}

TEST_F(GrpcServerTest, MalformedRequestsAreInvalidArgumentAndNameTheMethod) {
  Start();
  for (const std::string method : {"PushPull", "Declare", "GetStatus"}) {
    const grpc::Status status =
        CallRaw(absl::StrCat("/parley.v1.ParameterServer/", method), "\x7a\x7f!");
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr(method));
    EXPECT_THAT(status.error_message(), HasSubstr("malformed message"));
  }
  EXPECT_TRUE(puppet_.calls().empty());
}

TEST_F(GrpcServerTest, UnknownMethodsAreUnimplemented) {
  Start();
  for (const std::string method :
       {"/parley.v1.ParameterServer/Explode", "/other.Service/Join", "/x"}) {
    const grpc::Status status = CallRaw(method, "");
    EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
    EXPECT_THAT(status.error_message(), HasSubstr(method));
  }
}

TEST_F(GrpcServerTest, AnswersHealthChecks) {
  Start();
  const auto stub = grpc::health::v1::Health::NewStub(channel_);
  const auto check = [&](const char* service) {
    grpc::ClientContext context;
    SetDeadline(&context);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, request, &response);
    return status.ok()
               ? grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status())
               : absl::StrCat("error ", status.error_code());
  };
  for (const char* service : {"", "liveness", "readiness", "parley.v1.ParameterServer"}) {
    EXPECT_EQ(check(service), "SERVING") << service;
  }
  EXPECT_EQ(check("other"), absl::StrCat("error ", grpc::StatusCode::NOT_FOUND));
  server_->SetReady(false);
  EXPECT_EQ(check(""), "SERVING");
  EXPECT_EQ(check("liveness"), "SERVING");
  EXPECT_EQ(check("readiness"), "NOT_SERVING");
  server_->SetReady(true);
  EXPECT_EQ(check("readiness"), "SERVING");
  EXPECT_EQ(CallRaw("/grpc.health.v1.Health/Check", "\xff").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(puppet_.calls().size(), 0u);
}

TEST_F(GrpcServerTest, RequestsOverTheLimitAreRefusedAndOthersGoOn) {
  Start({10'000});
  v1::PushPullRequest request;
  for (const size_t size : {size_t{10'001}, size_t{1'000'000}}) {
    request.set_payload(RandomBytes(1, size));
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::PushPullResponse response;
    EXPECT_EQ(stub_->PushPull(&context, request, &response).error_code(), grpc::RESOURCE_EXHAUSTED);
  }
  EXPECT_TRUE(puppet_.calls().empty());
  request.set_payload(RandomBytes(1, 9'000));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::PushPullResponse response;
  EXPECT_TRUE(stub_->PushPull(&context, request, &response).ok());
}

TEST_F(GrpcServerTest, AnswersOverTheLimitAreResourceExhausted) {
  PuppetAnswers answers;
  for (int i = 0; i < 10'000; ++i) answers.describe_blocks.add_blocks()->set_block(1'000'000);
  puppet_.SetAnswers(answers);
  Start({10'000});
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::DescribeBlocksResponse response;
  const grpc::Status status =
      stub_->DescribeBlocks(&context, v1::DescribeBlocksRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("DescribeBlocks"));
}

TEST_F(GrpcServerTest, AnAnswerToACancelledCallIsDropped) {
  Start();
  puppet_.Hold();
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
    v1::BarrierResponse response;
    EXPECT_EQ(stub_->Barrier(&context, v1::BarrierRequest(), &response).error_code(),
              grpc::DEADLINE_EXCEEDED);
  }
  ASSERT_TRUE(puppet_.AwaitCalls(1));
  puppet_.Release();
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::BarrierResponse response;
  EXPECT_TRUE(stub_->Barrier(&context, v1::BarrierRequest(), &response).ok());
}

TEST_F(GrpcServerTest, ShutdownCancelsWhatWaitsAndLateAnswersAreDropped) {
  Start();
  puppet_.Hold();
  PendingAnswer<grpc::Status> ended;
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::PushPullRequest request;
  request.set_payload("gradients");
  v1::PushPullResponse response;
  stub_->async()->PushPull(&context, &request, &response, Callback(ended));
  ASSERT_TRUE(puppet_.AwaitCalls(1)) << StatusText(ended);
  server_->Shutdown(absl::ZeroDuration());
  const absl::StatusOr<grpc::Status> status = ended.Wait();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_FALSE(status->ok());
  server_.reset();
  puppet_.Release();
}

TEST_F(GrpcServerTest, ShutdownLetsCallsEndWithinTheGrace) {
  Start();
  puppet_.Hold();
  PendingAnswer<grpc::Status> ended;
  grpc::ClientContext context;
  SetDeadline(&context);
  const v1::LeaveRequest request;
  v1::LeaveResponse response;
  stub_->async()->Leave(&context, &request, &response, Callback(ended));
  ASSERT_TRUE(puppet_.AwaitCalls(1)) << StatusText(ended);
  std::thread shutdown([this] { server_->Shutdown(absl::Seconds(60)); });
  puppet_.Release();
  shutdown.join();
  const absl::StatusOr<grpc::Status> status = ended.Wait();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(status->ok()) << status->error_message();
}

TEST_F(GrpcServerTest, APortInUseIsRefusedAndNamed) {
  Start();
  const std::string address = absl::StrCat("localhost:", server_->port());
  const absl::Status status = GrpcServer::Start(address, &puppet_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
  EXPECT_THAT(std::string(status.message()), HasSubstr("in use"));
}

TEST_F(GrpcServerTest, APortIsFreeAgainAfterTheServer) {
  Start();
  const std::string address = absl::StrCat("localhost:", server_->port());
  server_.reset();
  EXPECT_TRUE(GrpcServer::Start(address, &puppet_).ok());
}

TEST_F(GrpcServerTest, IllegalAddressesAreInvalidArgument) {
  for (const std::string address : {"localhost", "localhost:x", "no.such.host.invalid:0"}) {
    const absl::Status status = GrpcServer::Start(address, &puppet_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(address));
  }
}

TEST_F(GrpcServerTest, WhatComesAndGoesIsCounted) {
  GrpcServerOptions options;
  options.counts = std::make_shared<TransportCounts>();
  Start(options);
  EXPECT_EQ(CallRaw("/parley.v1.ParameterServer/PushPull", "no message at all").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(CallRaw("/parley.v1.ParameterServer/NoMethod", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_TRUE(CallRaw("/grpc.health.v1.Health/Check", "").ok());
  EXPECT_EQ(options.counts->requests(), 2) << "an unknown method is not read";
  EXPECT_EQ(options.counts->failed(), 1);
  EXPECT_EQ(options.counts->in_progress(), 0);
  EXPECT_EQ(options.counts->received_bytes(), 17);
  EXPECT_EQ(options.counts->sent_bytes(), 2);  // one enum
}

}  // namespace
}  // namespace parley
