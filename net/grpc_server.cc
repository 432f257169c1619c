#include "net/grpc_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <chrono>
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
#include "net/listen_address.h"

namespace parley {
namespace {

class Reactor;

// The right to answer one call, which is taken once: by the ParameterServer's answer, by a fault in
// the request, or by the call's cancellation. A reactor lives until it was answered, so whoever
// takes it may use it.
class Ticket {
 public:
  explicit Ticket(Reactor* reactor) : reactor_(reactor) {}
  // Null when it was taken before.
  Reactor* Take() { return reactor_.exchange(nullptr, std::memory_order_acq_rel); }

 private:
  std::atomic<Reactor*> reactor_;
};

// Parses the request, calls the server, and answers through the ticket.
using RequestHandler = void (*)(ParameterServer* server, const grpc::ByteBuffer& request,
                                const std::shared_ptr<Ticket>& ticket);

// One call: reads one message, answers with one. Owned by gRPC from CreateReactor until OnDone.
class Reactor : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(grpc::GenericCallbackServerContext* context, ParameterServer* server,
          RequestHandler handler, int max_message_bytes)
      : context_(context),
        server_(server),
        handler_(handler),
        max_message_bytes_(max_message_bytes),
        ticket_(std::make_shared<Ticket>(this)) {
    TsanRelease(this);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    TsanAcquire(this);
    if (ok) {
      handler_(server_, request_, ticket_);
    } else if (ticket_->Take() != nullptr) {
      // Cancelled, over the limit (gRPC has answered then), or a client that sent nothing.
      Answer(absl::InvalidArgumentError(absl::StrCat(context_->method(), ": no request came")));
    }
    TsanRelease(this);
  }

  void OnCancel() override {
    TsanAcquire(this);
    if (ticket_->Take() != nullptr) Answer(absl::CancelledError("the call was cancelled"));
    TsanRelease(this);
  }

  void OnDone() override {
    TsanAcquire(this);
    delete this;
  }

  // Ends the call; `this` may be gone when it returns. For the one who took the ticket.
  void Answer(absl::StatusOr<grpc::ByteBuffer> response) {
    if (response.ok() && response->Length() > static_cast<size_t>(max_message_bytes_)) {
      response = absl::ResourceExhaustedError(
          absl::StrCat(context_->method(), ": the answer of ", response->Length(),
                       " bytes is over the limit of ", max_message_bytes_));
    }
    if (response.ok()) {
      response_.Swap(&*response);
      TsanRelease(this);
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    } else {
      context_->AddTrailingMetadata(kOriginKey, kOriginTask);
      TsanRelease(this);
      Finish(ToGrpcStatus(response.status()));
    }
  }

 private:
  grpc::GenericCallbackServerContext* const context_;
  ParameterServer* const server_;
  const RequestHandler handler_;
  const int max_message_bytes_;
  const std::shared_ptr<Ticket> ticket_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

void Answer(Ticket* ticket, absl::StatusOr<grpc::ByteBuffer> response) {
  if (Reactor* reactor = ticket->Take()) reactor->Answer(std::move(response));
}

template <typename Method>
struct Signature;
template <typename RequestType, typename ResponseType>
struct Signature<void (ParameterServer::*)(RequestType, ParameterServer::Done<ResponseType>)> {
  using Request = RequestType;
  using Response = ResponseType;
};

template <auto Method>
void Handle(ParameterServer* server, const grpc::ByteBuffer& buffer,
            const std::shared_ptr<Ticket>& ticket) {
  using Request = typename Signature<decltype(Method)>::Request;
  using Response = typename Signature<decltype(Method)>::Response;
  Request request;
  if (absl::Status status = DecodeMessage(buffer, &request, nullptr); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, Request::descriptor()->name()));
  }
  (server->*Method)(std::move(request), [ticket](absl::StatusOr<Response> response) {
    Answer(ticket.get(), response.ok() ? EncodeMessage(*response, Payload()) : response.status());
  });
}

void HandlePushPull(ParameterServer* server, const grpc::ByteBuffer& buffer,
                    const std::shared_ptr<Ticket>& ticket) {
  v1::PushPullRequest request;
  Payload payload;
  if (absl::Status status = DecodeMessage(buffer, &request, &payload); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  server->PushPull(std::move(request), std::move(payload),
                   [ticket](absl::StatusOr<ParameterServer::PushPullReply> reply) {
                     Answer(ticket.get(), reply.ok()
                                              ? EncodeMessage(reply->response, reply->payload)
                                              : reply.status());
                   });
}

void HandleReplicate(ParameterServer* server, const grpc::ByteBuffer& buffer,
                     const std::shared_ptr<Ticket>& ticket) {
  v1::ReplicateRequest request;
  Payload payload;
  if (absl::Status status = DecodeMessage(buffer, &request, &payload); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  server->Replicate(std::move(request), std::move(payload),
                    [ticket](absl::StatusOr<v1::ReplicateResponse> response) {
                      Answer(ticket.get(), response.ok() ? EncodeMessage(*response, Payload())
                                                         : response.status());
                    });
}

void HandleFetchReplica(ParameterServer* server, const grpc::ByteBuffer& buffer,
                        const std::shared_ptr<Ticket>& ticket) {
  v1::FetchReplicaRequest request;
  if (absl::Status status = DecodeMessage(buffer, &request, nullptr); !status.ok()) {
    return Answer(ticket.get(), Annotate(status, request.descriptor()->name()));
  }
  server->FetchReplica(
      std::move(request), [ticket](absl::StatusOr<ParameterServer::FetchReplicaReply> reply) {
        Answer(ticket.get(),
               reply.ok() ? EncodeMessage(reply->response, reply->payload) : reply.status());
      });
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
  };
  const auto it = kHandlers->find(method);
  return it == kHandlers->end() ? nullptr : it->second;
}

// A call that is answered at once.
class RefusingReactor : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusingReactor(const absl::Status& status) {
    Finish(ToGrpcStatus(status));
    TsanRelease(this);
  }
  void OnDone() override {
    TsanAcquire(this);
    delete this;
  }
};

// Between finding a free port and listening on it, another program may take it.
constexpr int kListenAttempts = 8;

}  // namespace

class GrpcServer::Impl : public grpc::CallbackGenericService {
 public:
  Impl(ParameterServer* server, GrpcServerOptions options) : server_(server), options_(options) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const RequestHandler handler = FindHandler(context->method());
    if (handler == nullptr) {
      return new RefusingReactor(
          absl::UnimplementedError(absl::StrCat("there is no method ", context->method())));
    }
    return new Reactor(context, server_, handler, options_.max_message_bytes);
  }

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
    builder.RegisterCallbackGenericService(this);
    MutexLock lock(&mutex_);
    grpc_server_ = builder.BuildAndStart();
    return grpc_server_ != nullptr;
  }

  void Shutdown(absl::Duration grace) {
    const absl::Duration bounded = std::clamp(grace, absl::ZeroDuration(), absl::Hours(1));
    MutexLock lock(&mutex_);
    if (grpc_server_ == nullptr) return;
    grpc_server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(bounded));
    grpc_server_.reset();
  }

 private:
  ParameterServer* const server_;
  const GrpcServerOptions options_;
  Mutex mutex_;
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

void GrpcServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace parley
