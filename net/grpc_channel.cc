#include "net/grpc_channel.h"

#include <grpc/support/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/tsan.h"
#include "net/grpc_answers.h"
#include "net/grpc_metadata.h"
#include "net/grpc_status.h"
#include "net/grpc_wire.h"

namespace parley {
namespace {

// Longer waits are of no use, and gRPC's clock would overflow.
constexpr int64_t kMaxWaitMs = int64_t{24} * 3600 * 1000;

gpr_timespec DeadlineAfter(absl::Duration timeout) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_micros(absl::ToInt64Microseconds(timeout), GPR_TIMESPAN));
}

struct Connection {
  explicit Connection(std::shared_ptr<grpc::Channel> grpc_channel)
      : channel(std::move(grpc_channel)), stub(channel) {}
  const std::shared_ptr<grpc::Channel> channel;
  grpc::GenericStub stub;
};

struct Request {
  const char* method;  // "PushPull"
  Connection* connection;
  absl::Duration timeout;
};

// One call on its way. Held by its GrpcChannel until it is over.
class Call final : public GrpcAnswers::Taker {
 public:
  using OnAnswer = absl::AnyInvocable<void(Call* call, const grpc::Status& status)>;

  Call(const Request& request, const grpc::ByteBuffer& message, OnAnswer on_answer)
      : request_(request), message_(message), on_answer_(std::move(on_answer)) {
    context_.set_deadline(DeadlineAfter(request.timeout));
  }

  // `queue` then brings the call back, for which somebody calls Over.
  void Start(grpc::CompletionQueue* queue) {
    reader_ = request_.connection->stub.PrepareUnaryCall(
        &context_, absl::StrCat("/parley.v1.ParameterServer/", request_.method), message_, queue);
    TsanRelease(this);
    reader_->StartCall();
    reader_->Finish(&response_, &status_, static_cast<GrpcAnswers::Taker*>(this));
  }
  void Cancel() { context_.TryCancel(); }

  void Over() override {
    TsanAcquire(this);
    // Moved out, since the call may be gone before its function is.
    OnAnswer on_answer = std::move(on_answer_);
    on_answer(this, status_);
  }

  const Request& request() const { return request_; }
  const grpc::ByteBuffer& response() const { return response_; }
  // Whether the other end is a GrpcServer that made the error itself.
  bool AnsweredByTask() const { return context_.GetServerTrailingMetadata().count(kOriginKey) > 0; }

 private:
  const Request request_;
  grpc::ClientContext context_;
  const grpc::ByteBuffer message_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  OnAnswer on_answer_;
};

class GrpcChannel : public ParameterServer {
 public:
  GrpcChannel(const std::string& task, const std::string& address,
              const GrpcChannelOptions& options)
      : who_(absl::StrCat(task, " at ", address)), options_(options) {
    grpc::ChannelArguments arguments;
    // Each channel its own connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
    arguments.SetMaxSendMessageSize(options.max_message_bytes);
    // Retries are the worker's, which numbers its pushes; gRPC's would also hold on to the
    // gradients.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_time));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // A shard that starts late or again is found soon after.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
    for (int i = 0; i < std::max(options.data_connections, 1) + 1; ++i) {
      connections_.push_back(std::make_unique<Connection>(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
    }
  }

  ~GrpcChannel() override {
    std::vector<std::shared_ptr<Call>> waiting;
    {
      MutexLock lock(&mutex_);
      closing_ = true;
      for (const auto& [call, owned] : calls_) waiting.push_back(owned);
    }
    for (const auto& call : waiting) call->Cancel();
    MutexLock lock(&mutex_);
    // gRPC ends a cancelled call without its peer, so this is soon.
    while (outstanding_ > 0) changed_.Wait(&mutex_);
  }

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override {
    Send(Control("Declare", request.wait_ms()), request, std::move(done));
  }
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    Send(Control("Join", request.wait_ms()), request, std::move(done));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    Send(Control("Heartbeat"), request, std::move(done));
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const Request to = {"PushPull", DataConnection(request), Timeout(request.wait_ms())};
    Start(to, EncodeMessage(request, payload),
          [this, to, done = std::move(done)](absl::StatusOr<grpc::ByteBuffer> answer) mutable {
            if (!answer.ok()) return done(std::move(answer).status());
            PushPullReply reply;
            const absl::Status status = DecodeMessage(*answer, &reply.response, &reply.payload);
            if (!status.ok()) return done(BadAnswer(to, status));
            done(std::move(reply));
          });
  }
  std::unique_ptr<Attendance> Attend() override { return GrpcAnswers::Attend(answers_); }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    Send(Control("Leave"), request, std::move(done));
  }
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override {
    Send(Control("Barrier", request.wait_ms()), request, std::move(done));
  }
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override {
    Send(Control("Checkpoint", request.wait_ms()), request, std::move(done));
  }
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override {
    Send(Control("DescribeBlocks"), request, std::move(done));
  }
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    Send(Control("GetNormSums", request.wait_ms()), request, std::move(done));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    Send(Control("SetNormTotals"), request, std::move(done));
  }
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override {
    Send(Control("GetStatus"), request, std::move(done));
  }
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override {
    Send(Control("Ask"), request, std::move(done));
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    const Request to = {"Replicate", connections_[1].get(), Timeout(0)};
    SendMessage(to, EncodeMessage(request, payload), std::move(done));
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    const Request to = Control("FetchReplica");
    Start(to, EncodeMessage(request, Payload()),
          [this, to, done = std::move(done)](absl::StatusOr<grpc::ByteBuffer> answer) mutable {
            if (!answer.ok()) return done(std::move(answer).status());
            FetchReplicaReply reply;
            const absl::Status status = DecodeMessage(*answer, &reply.response, &reply.payload);
            if (!status.ok()) return done(BadAnswer(to, status));
            done(std::move(reply));
          });
  }

 private:
  using OnMessage = absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>)>;

  static int Milliseconds(absl::Duration duration) {
    return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 1, 1 << 30));
  }
  absl::Duration Timeout(int64_t wait_ms) const {
    return absl::Milliseconds(std::clamp<int64_t>(wait_ms, 0, kMaxWaitMs)) + options_.grace;
  }
  Request Control(const char* method, int64_t wait_ms = 0) const {
    return {method, connections_[0].get(), Timeout(wait_ms)};
  }

  // Requests that only push, and those that only pull, keep to a half of the connections each: else
  // a line is idle one way while what asks for its bytes waits behind gradients the other way.
  Connection* DataConnection(const v1::PushPullRequest& request) {
    const size_t all = connections_.size() - 1;
    const size_t pushing = std::max<size_t>(all / 2, 1);
    const size_t turn = next_data_.fetch_add(1, std::memory_order_relaxed);
    size_t chosen = turn % all;
    if (request.pull_size() == 0) chosen = turn % pushing;
    if (request.push_size() == 0) chosen = all - 1 - turn % pushing;
    return connections_[1 + chosen].get();
  }

  absl::Status BadAnswer(const Request& request, const absl::Status& status) const {
    return absl::InternalError(
        absl::StrCat(who_, ": ", request.method, ": unreadable answer: ", status.message()));
  }

  template <typename RequestMessage, typename Response>
  void Send(const Request& to, const RequestMessage& message, Done<Response> done) {
    SendMessage(to, EncodeMessage(message, Payload()), std::move(done));
  }

  template <typename Response>
  void SendMessage(const Request& to, absl::StatusOr<grpc::ByteBuffer> message,
                   Done<Response> done) {
    Start(to, std::move(message),
          [this, to, done = std::move(done)](absl::StatusOr<grpc::ByteBuffer> answer) mutable {
            if (!answer.ok()) return done(std::move(answer).status());
            Response response;
            const absl::Status status = DecodeMessage(*answer, &response, nullptr);
            if (!status.ok()) return done(BadAnswer(to, status));
            done(std::move(response));
          });
  }

  void Start(const Request& to, absl::StatusOr<grpc::ByteBuffer> message, OnMessage done) {
    if (!message.ok()) return done(Annotate(message.status(), absl::StrCat(who_, ": ", to.method)));
    if (message->Length() > static_cast<size_t>(options_.max_message_bytes)) {
      return done(absl::ResourceExhaustedError(
          absl::StrCat(who_, ": ", to.method, ": the request of ", message->Length(),
                       " bytes is over the limit of ", options_.max_message_bytes)));
    }
    StartCall(to, *message,
              [this, done = std::move(done)](Call* call, const grpc::Status& status) mutable {
                HandleAnswer(call, status, std::move(done));
              });
  }

  // `on_answer` runs once, on the thread of `answers_`; the call lives until it returns.
  void StartCall(const Request& to, const grpc::ByteBuffer& message, Call::OnAnswer on_answer) {
    const auto call = std::make_shared<Call>(
        to, message,
        [this, on_answer = std::move(on_answer)](Call* over, const grpc::Status& status) mutable {
          on_answer(over, status);
          on_answer = nullptr;
          Remove(over);
        });
    bool closing;
    {
      MutexLock lock(&mutex_);
      closing = closing_;
      calls_.emplace(call.get(), call);
      ++outstanding_;
    }
    answers_->Expect();
    call->Start(answers_->queue());
    // The destructor may have looked before this call was there to be cancelled.
    if (closing) call->Cancel();
  }

  void Remove(Call* call) {
    std::shared_ptr<Call> last;
    {
      MutexLock lock(&mutex_);
      const auto it = calls_.find(call);
      last = std::move(it->second);
      calls_.erase(it);
    }
    // A call holds gRPC's channel, which is to go with this one: so the call goes before the
    // destructor may.
    last.reset();
    MutexLock lock(&mutex_);
    --outstanding_;
    changed_.NotifyAll();
  }

  bool closing() {
    MutexLock lock(&mutex_);
    return closing_;
  }

  void HandleAnswer(Call* call, const grpc::Status& grpc_status, OnMessage done) {
    if (grpc_status.ok()) return done(call->response());
    const absl::Status status = FromGrpcStatus(grpc_status);
    if (call->AnsweredByTask()) return done(status);
    const Request& request = call->request();
    const std::string what = absl::StrCat(who_, ": ", request.method, ": ");
    if (closing()) {
      return done(absl::CancelledError(absl::StrCat(what, "the channel was closed")));
    }
    switch (status.code()) {
      case absl::StatusCode::kDeadlineExceeded:
        if (request.connection->channel->GetState(false) != GRPC_CHANNEL_READY) {
          return done(absl::UnavailableError(
              absl::StrCat(what, "not reached within ", absl::FormatDuration(request.timeout))));
        }
        return done(absl::DeadlineExceededError(
            absl::StrCat(what, "no answer within ", absl::FormatDuration(request.timeout))));
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kCancelled:  // not by us: a server that shuts down
        return done(
            absl::UnavailableError(absl::StrCat(what, "not reached, or lost: ", status.message())));
      default:
        return done(absl::Status(status.code(), absl::StrCat(what, status.message())));
    }
  }

  const std::string who_;  // "ps:1 at localhost:1234"
  const GrpcChannelOptions options_;
  const std::shared_ptr<GrpcAnswers> answers_ = GrpcAnswers::Next();
  std::vector<std::unique_ptr<Connection>> connections_;  // [0] for control, then those for data
  std::atomic<size_t> next_data_{0};

  Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<Call*, std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mutex_);
  int outstanding_ ABSL_GUARDED_BY(mutex_) =
      0;  // calls that are not gone yet: calls_, and those on their way out
};

}  // namespace

std::unique_ptr<ParameterServer> NewGrpcChannel(const std::string& task, const std::string& address,
                                                GrpcChannelOptions options) {
  return std::make_unique<GrpcChannel>(task, address, options);
}

}  // namespace parley
