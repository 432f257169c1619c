#include "net/local_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/local_connection.h"
#include "net/local_payload.h"

namespace parley {
namespace {

// Answers that a worker may leave unread before it is taken for broken.
constexpr size_t kMaxUnreleased = 4096;
// How often the accepting thread looks for connections that have ended.
constexpr int kReapMs = 1000;

}  // namespace

// One worker's connection. What answers its requests may outlive it, and then speaks to nobody.
class LocalServer::Peer : public LocalConnection::Handler {
 public:
  using PushPullReply = ParameterServer::PushPullReply;

  Peer(UniqueFd socket, ParameterServer* server, std::shared_ptr<SharedArena> arena,
       std::shared_ptr<TransportCounts> counts)
      : server_(server),
        counts_(std::move(counts)),
        link_(std::make_shared<Link>(std::move(arena))),
        connection_(LocalConnection::Role::kAccepting, std::move(socket), this) {
    MutexLock lock(&link_->mutex);
    link_->connection = &connection_;
  }
  void Start() { connection_.Start(); }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  absl::Status OnFrame(v1::LocalFrame frame, UniqueFd fd) override {
    switch (frame.kind_case()) {
      case v1::LocalFrame::kSegment:
        return segments_.Add(frame.segment().segment(), frame.segment().size(), std::move(fd));
      case v1::LocalFrame::kRequest:
        return Handle(frame.mutable_request());
      case v1::LocalFrame::kRelease:
        link_->Forget(frame.release().id());
        return absl::OkStatus();
      default:
        return absl::InvalidArgumentError("local socket: a frame that a worker does not send");
    }
  }
  void OnClosed(const absl::Status& reason) override {
    if (absl::IsInvalidArgument(reason)) LOG(WARNING) << "a worker's " << reason.message();
    link_->Close();
    ended_.store(true, std::memory_order_release);
  }

 private:
  struct Link {
    explicit Link(std::shared_ptr<SharedArena> shared_arena) : arena(std::move(shared_arena)) {}

    void Release(uint64_t id) {
      v1::LocalFrame frame;
      frame.mutable_release()->set_id(id);
      MutexLock lock(&mutex);
      if (connection != nullptr) connection->Send(frame);
    }
    void Answer(uint64_t id, absl::StatusOr<PushPullReply> reply) {
      v1::LocalFrame frame;
      v1::LocalAnswer* const answer = frame.mutable_answer();
      answer->set_id(id);
      LocalPayload payload;
      absl::Status status = reply.status();
      if (status.ok()) {
        absl::StatusOr<LocalPayload> placed = PlacePayload(arena.get(), reply->payload);
        status = placed.status();
        if (placed.ok()) payload = *std::move(placed);
      }
      answer->set_code(static_cast<int>(status.code()));
      answer->set_message(std::string(status.message()));
      if (status.ok()) {
        *answer->mutable_response() = std::move(reply->response);
        for (const v1::LocalPiece& piece : payload.pieces) *answer->add_payload() = piece;
      }
      MutexLock lock(&mutex);
      if (connection == nullptr) return;
      if (!payload.pieces.empty()) unreleased.emplace(id, std::move(payload.held));
      segments.Announce(*arena, payload.pieces, connection);
      connection->Send(frame);
    }
    void Forget(uint64_t id) {
      Payload held;  // let go outside the lock
      MutexLock lock(&mutex);
      const auto it = unreleased.find(id);
      if (it == unreleased.end()) return;
      held = std::move(it->second);
      unreleased.erase(it);
    }
    void Close() {
      std::map<uint64_t, Payload> held;
      MutexLock lock(&mutex);
      connection = nullptr;
      held.swap(unreleased);
    }

    const std::shared_ptr<SharedArena> arena;
    Mutex mutex;
    LocalConnection* connection ABSL_GUARDED_BY(mutex) = nullptr;  // null when it has ended
    AnnouncedSegments segments ABSL_GUARDED_BY(mutex);
    std::map<uint64_t, Payload> unreleased ABSL_GUARDED_BY(mutex);
  };
  absl::Status Handle(v1::LocalRequest* request) {
    const uint64_t id = request->id();
    {
      MutexLock lock(&link_->mutex);
      if (link_->unreleased.size() > kMaxUnreleased) {
        return absl::InvalidArgumentError("local socket: too many answers are not released");
      }
    }
    // Told when the last slice is dropped.
    std::shared_ptr<const void> lent;
    if (request->payload_size() > 0) {
      lent.reset(this, [link = link_, id](const void*) { link->Release(id); });
    }
    PARLEY_ASSIGN_OR_RETURN(Payload payload, ResolvePayload(segments_, request->payload(), lent));
    lent = nullptr;
    if (counts_ != nullptr) counts_->Came(static_cast<int64_t>(payload.size()));
    server_->PushPull(std::move(*request->mutable_request()), std::move(payload),
                      [link = link_, counts = counts_, id](absl::StatusOr<PushPullReply> reply) {
                        if (counts != nullptr) {
                          counts->Answered(
                              reply.ok(),
                              reply.ok() ? static_cast<int64_t>(reply->payload.size()) : 0);
                        }
                        link->Answer(id, std::move(reply));
                      });
    return absl::OkStatus();
  }

  ParameterServer* const server_;
  const std::shared_ptr<TransportCounts> counts_;  // null: nobody counts
  PeerSegments segments_;                          // the connection's thread's
  const std::shared_ptr<Link> link_;
  std::atomic<bool> ended_{false};
  LocalConnection connection_;  // last: its thread uses the others
};

std::string LocalServer::NewName() {
  std::random_device random;
  std::string name = "parley";
  for (int i = 0; i < 4; ++i) absl::StrAppend(&name, "-", absl::Hex(random(), absl::kZeroPad8));
  return name;
}

absl::StatusOr<std::unique_ptr<LocalServer>> LocalServer::Start(
    const std::string& name, ParameterServer* server, std::shared_ptr<SharedArena> arena,
    std::shared_ptr<TransportCounts> counts) {
  PARLEY_ASSIGN_OR_RETURN(UniqueFd listener, LocalConnection::Listen(name));
  return std::unique_ptr<LocalServer>(
      new LocalServer(std::move(listener), server, std::move(arena), std::move(counts)));
}

LocalServer::LocalServer(UniqueFd listener, ParameterServer* server,
                         std::shared_ptr<SharedArena> arena,
                         std::shared_ptr<TransportCounts> counts)
    : listener_(std::move(listener)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      server_(server),
      arena_(std::move(arena)),
      counts_(std::move(counts)),
      thread_([this] { Accept(); }) {}

LocalServer::~LocalServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
  thread_.join();
  peers_.clear();
}

void LocalServer::Accept() {
  for (;;) {
    pollfd fds[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(fds, 2, peers_.empty() ? -1 : kReapMs) < 0 && errno != EINTR) {
      LOG(ERROR) << "local socket: poll: " << strerror(errno);
      return;
    }
    if (fds[1].revents != 0) return;
    peers_.remove_if([](const std::unique_ptr<Peer>& peer) { return peer->ended(); });
    if (fds[0].revents == 0) continue;
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid() || !LocalConnection::IsOurUser(socket.get())) continue;
    peers_.push_back(std::make_unique<Peer>(std::move(socket), server_, arena_, counts_));
    peers_.back()->Start();
  }
}

}  // namespace parley
