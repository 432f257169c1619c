#include "net/grpc_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/tsan.h"
#include "net/grpc_metadata.h"
#include "net/grpc_status.h"
#include "net/grpc_wire.h"
#include "net/health.pb.h"
#include "net/listen_address.h"

namespace parley {
namespace {

class IncomingCall;

// The right to answer one call, which is taken once: by the ParameterServer's answer, by a fault in
// the request, or by the call's cancellation. A call lives until it was answered, so whoever takes
// it may use it.
class Ticket {
 public:
  explicit Ticket(IncomingCall* call) : call_(call) {}
  // Null when it was taken before.
  IncomingCall* Take() { return call_.exchange(nullptr, std::memory_order_acq_rel); }

 private:
  std::atomic<IncomingCall*> call_;
};

// What requests are about.
struct Served {
  ParameterServer* const server;
  std::atomic<bool> ready{true};
};

// Parses the request, calls the server, and answers through the ticket.
using RequestHandler = void (*)(const Served& served, const grpc::ByteBuffer& request,
                                const std::shared_ptr<Ticket>& ticket);

RequestHandler FindHandler(const std::string& method);

// What the calls of one completion queue share. Its calls ask for the next ones until Stop.
class Reception {
 public:
  Reception(const Served* served, const GrpcServerOptions& options,
            grpc::AsyncGenericService* service, std::unique_ptr<grpc::ServerCompletionQueue> queue)
      : served(served),
        max_message_bytes(options.max_message_bytes),
        counts(options.counts),
        service(service),
        queue(std::move(queue)) {}
  ~Reception() { Stop(); }
  Reception(const Reception&) = delete;
  Reception& operator=(const Reception&) = delete;

  // Takes calls from now on. The server runs.
  void Start();
  // Once the server is shut down: returns when the last call is gone.
  void Stop();

  // By calls: one more is asked for; one is gone.
  void AskForNext();
  void Gone();

  const Served* const served;
  const int max_message_bytes;
  const std::shared_ptr<TransportCounts> counts;  // null: nobody counts
  grpc::AsyncGenericService* const service;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue;

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

// One call: reads one message, answers with one. Its events come one after another, from its
// queue's thread; it goes with the last of them.
class IncomingCall {
 public:
  // What comes out of the queue.
  struct Event {
    IncomingCall* call;
    bool is_end;  // the call is over, perhaps cancelled; otherwise it has gone a step further
  };

  // Asks for a call.
  explicit IncomingCall(Reception* reception)
      : reception_(reception), ticket_(std::make_shared<Ticket>(this)) {
    TsanRelease(&end_);
    context_.AsyncNotifyWhenDone(&end_);
    TsanRelease(&step_);
    reception_->service->RequestCall(&context_, &stream_, reception_->queue.get(),
                                     reception_->queue.get(), &step_);
  }
  ~IncomingCall() { reception_->Gone(); }
  IncomingCall(const IncomingCall&) = delete;
  IncomingCall& operator=(const IncomingCall&) = delete;

  void OnStep(bool ok) {
    switch (phase_) {
      case Phase::kAskedFor:
        if (!ok) return delete this;  // the server shuts down; no end will come
        handler_ = FindHandler(context_.method());
        if (handler_ == nullptr) {
          phase_ = Phase::kHandled;
          AnswerIfFirst(
              absl::UnimplementedError(absl::StrCat("there is no method ", context_.method())));
        } else {
          phase_ = Phase::kReading;
          TsanRelease(&step_);
          stream_.Read(&request_, &step_);
        }
        // This call goes first; it can only come to an end by way of the queue, that is, later.
        return reception_->AskForNext();
      case Phase::kReading:
        phase_ = Phase::kHandled;
        if (reception_->counts != nullptr) {
          counted_ = true;
          reception_->counts->Came(ok ? static_cast<int64_t>(request_.Length()) : 0);
        }
        if (cancelled_) {
          AnswerIfFirst(absl::CancelledError("the call was cancelled"));
        } else if (ok) {
          handler_(*reception_->served, request_, ticket_);
        } else {
          // Over the limit (gRPC has answered then), or a client that sent nothing.
          AnswerIfFirst(
              absl::InvalidArgumentError(absl::StrCat(context_.method(), ": no request came")));
        }
        return;
      case Phase::kHandled:
        return CameToAnEnd();
    }
  }

  void OnEnd() {
    cancelled_ = context_.IsCancelled();
    // While a message is read, that ends first.
    if (cancelled_ && phase_ == Phase::kHandled) {
      AnswerIfFirst(absl::CancelledError("the call was cancelled"));
    }
    CameToAnEnd();
  }

  // Ends the call; `this` may be gone when it returns. For the one who took the ticket, on any
  // thread.
  void Answer(absl::StatusOr<grpc::ByteBuffer> response) {
    const size_t limit = static_cast<size_t>(reception_->max_message_bytes);
    if (response.ok() && response->Length() > limit) {
      response = absl::ResourceExhaustedError(
          absl::StrCat(context_.method(), ": the answer of ", response->Length(),
                       " bytes is over the limit of ", reception_->max_message_bytes));
    }
    if (counted_) {
      reception_->counts->Answered(response.ok(),
                                   response.ok() ? static_cast<int64_t>(response->Length()) : 0);
    }
    if (response.ok()) {
      TsanRelease(&step_);
      stream_.WriteAndFinish(*response, grpc::WriteOptions(), grpc::Status::OK, &step_);
    } else {
      context_.AddTrailingMetadata(kOriginKey, kOriginTask);
      TsanRelease(&step_);
      stream_.Finish(ToGrpcStatus(response.status()), &step_);
    }
  }

 private:
  enum class Phase { kAskedFor, kReading, kHandled };

  void AnswerIfFirst(const absl::Status& status) {
    if (ticket_->Take() != nullptr) Answer(status);
  }
  // An answer was sent, or the call is over: both come.
  void CameToAnEnd() {
    if (--ends_ == 0) delete this;
  }

  Reception* const reception_;
  const std::shared_ptr<Ticket> ticket_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer request_;
  Event step_{this, false};
  Event end_{this, true};
  // The queue's thread's.
  Phase phase_ = Phase::kAskedFor;
  RequestHandler handler_ = nullptr;
  bool cancelled_ = false;
  bool counted_ = false;
  int ends_ = 2;
};

void Reception::Start() {
  // So many that one waits whenever a call comes; each asks for the next.
  constexpr int kAsked = 8;
  for (int i = 0; i < kAsked; ++i) AskForNext();
  thread_ = std::thread([this] { Run(); });
}

void Reception::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    while (calls_ > 0) changed_.Wait(&mutex_);
  }
  queue->Shutdown();
  if (thread_.joinable()) thread_.join();
}

void Reception::AskForNext() {
  {
    MutexLock lock(&mutex_);
    if (stopping_) return;
    ++calls_;
  }
  new IncomingCall(this);  // deletes itself
}

void Reception::Gone() {
  MutexLock lock(&mutex_);
  if (--calls_ == 0) changed_.NotifyAll();
}

void Reception::Run() {
  void* tag;
  bool ok;
  while (queue->Next(&tag, &ok)) {
    TsanAcquire(tag);
    const auto* const event = static_cast<const IncomingCall::Event*>(tag);
    if (event->is_end) {
      event->call->OnEnd();
    } else {
      event->call->OnStep(ok);
    }
  }
}

void Answer(Ticket* ticket, absl::StatusOr<grpc::ByteBuffer> response) {
  if (IncomingCall* call = ticket->Take()) call->Answer(std::move(response));
}

template <typename Method>
struct Signature;
template <typename RequestType, typename ResponseType>
struct Signature<void (ParameterServer::*)(RequestType, ParameterServer::Done<ResponseType>)> {
  using Request = RequestType;
  using Response = ResponseType;
};

template <auto Method>
void Handle(const Served& served, const grpc::ByteBuffer& buffer,
            const std::shared_ptr<Ticket>& ticket) {
  using Request = typename Signature<decltype(Method)>::Request;
  using Response = typename Signature<decltype(Method)>::Response;
  Request request;
  if (absl::Status status = DecodeMessage(buffer, &request, nullptr); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, Request::descriptor()->name()));
  }
  (served.server->*Method)(std::move(request), [ticket](absl::StatusOr<Response> response) {
    Answer(ticket.get(), response.ok() ? EncodeMessage(*response, Payload()) : response.status());
  });
}

void HandlePushPull(const Served& served, const grpc::ByteBuffer& buffer,
                    const std::shared_ptr<Ticket>& ticket) {
  v1::PushPullRequest request;
  Payload payload;
  if (absl::Status status = DecodeMessage(buffer, &request, &payload); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  served.server->PushPull(
      std::move(request), std::move(payload),
      [ticket](absl::StatusOr<ParameterServer::PushPullReply> reply) {
        Answer(ticket.get(),
               reply.ok() ? EncodeMessage(reply->response, reply->payload) : reply.status());
      });
}

void HandleReplicate(const Served& served, const grpc::ByteBuffer& buffer,
                     const std::shared_ptr<Ticket>& ticket) {
  v1::ReplicateRequest request;
  Payload payload;
  if (absl::Status status = DecodeMessage(buffer, &request, &payload); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  served.server->Replicate(std::move(request), std::move(payload),
                           [ticket](absl::StatusOr<v1::ReplicateResponse> response) {
                             Answer(ticket.get(), response.ok()
                                                      ? EncodeMessage(*response, Payload())
                                                      : response.status());
                           });
}

void HandleFetchReplica(const Served& served, const grpc::ByteBuffer& buffer,
                        const std::shared_ptr<Ticket>& ticket) {
  v1::FetchReplicaRequest request;
  if (absl::Status status = DecodeMessage(buffer, &request, nullptr); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  served.server->FetchReplica(
      std::move(request), [ticket](absl::StatusOr<ParameterServer::FetchReplicaReply> reply) {
        Answer(ticket.get(),
               reply.ok() ? EncodeMessage(reply->response, reply->payload) : reply.status());
      });
}

void HandleHealthCheck(const Served& served, const grpc::ByteBuffer& buffer,
                       const std::shared_ptr<Ticket>& ticket) {
  grpc::health::v1::HealthCheckRequest request;
  if (absl::Status status = DecodeMessage(buffer, &request, nullptr); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  const std::string& service = request.service();
  const bool of_task = service.empty() || service == "liveness";
  if (!of_task && service != "readiness" && service != "parley.v1.ParameterServer") {
    return Answer(ticket.get(),
                  absl::NotFoundError(absl::StrCat("there is no service \"", service, "\"")));
  }
  grpc::health::v1::HealthCheckResponse response;
  response.set_status(of_task || served.ready ? grpc::health::v1::HealthCheckResponse::SERVING
                                              : grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  Answer(ticket.get(), EncodeMessage(response, Payload()));
}

RequestHandler FindHandler(const std::string& method) {
  static const auto* const kHandlers = new absl::flat_hash_map<std::string, RequestHandler>{
      {"/parley.v1.ParameterServer/Declare", &Handle<&ParameterServer::Declare>},
      {"/parley.v1.ParameterServer/Join", &Handle<&ParameterServer::Join>},
      {"/parley.v1.ParameterServer/Heartbeat", &Handle<&ParameterServer::Heartbeat>},
      {"/parley.v1.ParameterServer/PushPull", &HandlePushPull},
      {"/parley.v1.ParameterServer/Leave", &Handle<&ParameterServer::Leave>},
      {"/parley.v1.ParameterServer/Barrier", &Handle<&ParameterServer::Barrier>},
      {"/parley.v1.ParameterServer/Checkpoint", &Handle<&ParameterServer::Checkpoint>},
      {"/parley.v1.ParameterServer/DescribeBlocks", &Handle<&ParameterServer::DescribeBlocks>},
      {"/parley.v1.ParameterServer/GetNormSums", &Handle<&ParameterServer::GetNormSums>},
      {"/parley.v1.ParameterServer/SetNormTotals", &Handle<&ParameterServer::SetNormTotals>},
      {"/parley.v1.ParameterServer/Replicate", &HandleReplicate},
      {"/parley.v1.ParameterServer/FetchReplica", &HandleFetchReplica},
      {"/parley.v1.ParameterServer/GetStatus", &Handle<&ParameterServer::GetStatus>},
      {"/parley.v1.ParameterServer/Ask", &Handle<&ParameterServer::Ask>},
      {"/grpc.health.v1.Health/Check", &HandleHealthCheck},
  };
  const auto it = kHandlers->find(method);
  return it == kHandlers->end() ? nullptr : it->second;
}

// A connection belongs to one of the queues, and each has one thread.
constexpr int kMaxQueues = 4;

// Between finding a free port and listening on it, another program may take it.
constexpr int kListenAttempts = 8;

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(ParameterServer* server, GrpcServerOptions options) : served_{server}, options_(options) {}

  void SetReady(bool ready) { served_.ready = ready; }

  // Whether it listens on all addresses. gRPC logs why not. Once only.
  bool Listen(const std::vector<std::string>& addresses) {
    grpc::ServerBuilder builder;
    for (const std::string& address : addresses) {
      builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    }
    // A second task on the same port must be refused, not share its connections.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(options_.max_message_bytes);
    builder.SetMaxSendMessageSize(options_.max_message_bytes);
    // Clients ping while they wait for an answer (grpc_channel.cc); gRPC's default takes that for
    // abuse.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.RegisterAsyncGenericService(&service_);
    MutexLock lock(&mutex_);
    for (int i = 0; i < std::clamp<int>(std::thread::hardware_concurrency(), 2, kMaxQueues); ++i) {
      receptions_.push_back(
          std::make_unique<Reception>(&served_, options_, &service_, builder.AddCompletionQueue()));
    }
    grpc_server_ = builder.BuildAndStart();
    if (grpc_server_ == nullptr) return false;
    for (const auto& reception : receptions_) reception->Start();
    return true;
  }

  void Shutdown(absl::Duration grace) {
    const absl::Duration bounded = std::clamp(grace, absl::ZeroDuration(), absl::Hours(1));
    MutexLock lock(&mutex_);
    if (grpc_server_ == nullptr) return;
    grpc_server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(bounded));
    for (const auto& reception : receptions_) reception->Stop();
    grpc_server_.reset();
  }

 private:
  Served served_;
  const GrpcServerOptions options_;
  grpc::AsyncGenericService service_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Reception>> receptions_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Server> grpc_server_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const std::string& address,
                                                              ParameterServer* server,
                                                              GrpcServerOptions options) {
  for (int attempt = 0; attempt < kListenAttempts; ++attempt) {
    PARLEY_ASSIGN_OR_RETURN(const ListenAddress listen, FindListenAddress(address));
    auto impl = std::make_unique<Impl>(server, options);
    if (impl->Listen(listen.addresses)) {
      return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl), listen.port));
    }
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": gRPC's log says why"));
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl, int port)
    : impl_(std::move(impl)), port_(port) {}

GrpcServer::~GrpcServer() { Shutdown(absl::ZeroDuration()); }

void GrpcServer::SetReady(bool ready) { impl_->SetReady(ready); }

void GrpcServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace parley
