#include "net/local_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/forwarding_parameter_server.h"
#include "net/link_choice.h"
#include "net/local_connection.h"
#include "net/local_payload.h"

namespace parley {
namespace {

// How long a task that has closed its socket may take to end.
constexpr int kEndMs = 1000;
// Of one worker's to one shard. With two of them a shard checks and applies gradients on two cores.
constexpr int kMostLinks = 2;

// The process at the other end, or nothing where the kernel has no such descriptors.
UniqueFd PeerProcess(int socket) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return UniqueFd();
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
}

// Memory that a live process may still read, though nobody will hear when it has.
void KeepForEver(std::map<uint64_t, Payload> held) {
  if (held.empty()) return;
  static Mutex* const mutex = new Mutex();
  static auto* const kept = new std::vector<std::map<uint64_t, Payload>>();
  MutexLock lock(mutex);
  kept->push_back(std::move(held));
}

// One connection to a task on this host.
class Link : public LocalConnection::Handler {
 public:
  using PushPullReply = ParameterServer::PushPullReply;
  using Done = ParameterServer::Done<PushPullReply>;
  // Hears of each request just before its `done`.
  using OnEnd = absl::AnyInvocable<void(const LinkChoice::Load& load)>;

  Link(std::string who, UniqueFd socket, std::shared_ptr<SharedArena> arena, absl::Duration grace,
       OnEnd on_end)
      : who_(std::move(who)),
        arena_(std::move(arena)),
        grace_(grace),
        on_end_(std::move(on_end)),
        peer_(PeerProcess(socket.get())),
        releaser_(std::make_shared<Releaser>()),
        connection_(LocalConnection::Role::kConnecting, std::move(socket), this) {
    MutexLock lock(&releaser_->mutex);
    releaser_->connection = &connection_;
  }

  void Start() { connection_.Start(); }
  // Ends what waits with CANCELLED, and returns when nobody is called any more; not from a `done`.
  void Stop() { connection_.Stop(); }
  // What waits ends as when the task had gone: UNAVAILABLE.
  void Lose() {
    {
      MutexLock lock(&mutex_);
      lost_ = true;
    }
    connection_.Close();
  }
  // From now on it does not matter what the task reads.
  void Abandon() {
    MutexLock lock(&mutex_);
    abandoned_ = true;
  }

  bool ended() {
    MutexLock lock(&mutex_);
    return ended_;
  }

  // False, with nothing taken, when the connection has ended.
  bool PushPull(v1::PushPullRequest* request, const Payload& payload, const LinkChoice::Load& load,
                Done* done) {
    {
      MutexLock lock(&mutex_);
      if (ended_) return false;
    }
    absl::StatusOr<LocalPayload> placed = PlacePayload(arena_.get(), payload);
    if (!placed.ok()) {
      on_end_(load);
      (*done)(Annotate(placed.status(), who_));
      return true;
    }
    v1::LocalFrame frame;
    v1::LocalRequest* const local = frame.mutable_request();
    const absl::Duration wait = absl::Milliseconds(std::max<int64_t>(0, request->wait_ms()));
    MutexLock lock(&mutex_);
    if (ended_) return false;
    const uint64_t id = next_id_++;
    local->set_id(id);
    *local->mutable_request() = std::move(*request);
    for (const v1::LocalPiece& piece : placed->pieces) *local->add_payload() = piece;
    if (!placed->pieces.empty()) held_.emplace(id, std::move(placed->held));
    waiting_.emplace(id, Waiting{load, std::move(*done), Env::Posix()->Now() + wait + grace_});
    segments_.Announce(*arena_, placed->pieces, &connection_);
    connection_.Send(frame);
    return true;
  }

  absl::Status OnFrame(v1::LocalFrame frame, UniqueFd fd) override {
    switch (frame.kind_case()) {
      case v1::LocalFrame::kSegment:
        return theirs_.Add(frame.segment().segment(), frame.segment().size(), std::move(fd));
      case v1::LocalFrame::kAnswer:
        return Answer(frame.mutable_answer());
      case v1::LocalFrame::kRelease:
        Forget(frame.release().id());
        return absl::OkStatus();
      default:
        return absl::InvalidArgumentError("local socket: a frame that a shard does not send");
    }
  }

  void OnTick() override {
    const absl::Time now = Env::Posix()->Now();
    std::vector<Waiting> late;
    {
      MutexLock lock(&mutex_);
      for (auto it = waiting_.begin(); it != waiting_.end();) {
        if (it->second.deadline > now) {
          ++it;
          continue;
        }
        late.push_back(std::move(it->second));
        it = waiting_.erase(it);
      }
    }
    for (Waiting& each : late) {
      on_end_(each.load);
      each.done(absl::DeadlineExceededError(absl::StrCat(who_, ": PushPull: no answer in time")));
    }
  }

  void OnClosed(const absl::Status& reason) override {
    std::map<uint64_t, Waiting> waiting;
    std::map<uint64_t, Payload> held;
    bool ours;  // our end was closed
    bool abandoned;
    {
      MutexLock lock(&releaser_->mutex);
      releaser_->connection = nullptr;
    }
    {
      MutexLock lock(&mutex_);
      ended_ = true;
      abandoned = abandoned_;
      ours = absl::IsCancelled(reason) && !lost_;
      waiting.swap(waiting_);
      held.swap(held_);
    }
    // A task that ends with its job closes an idle connection.
    if (!absl::IsCancelled(reason) && !waiting.empty()) {
      LOG(WARNING) << who_ << ": no shared memory any more: " << reason.message();
    }
    if (!held.empty() && !abandoned) {
      pollfd end = {peer_.get(), POLLIN, 0};
      const bool gone = peer_.valid() && !ours && poll(&end, 1, kEndMs) == 1;
      if (!gone) KeepForEver(std::move(held));
    }
    const absl::Status status =
        ours ? absl::CancelledError(absl::StrCat(who_, ": PushPull: the channel is gone"))
             : absl::UnavailableError(absl::StrCat(who_, ": PushPull: lost: ", reason.message()));
    for (auto& [id, each] : waiting) {
      on_end_(each.load);
      each.done(status);
    }
  }

 private:
  struct Waiting {
    LinkChoice::Load load;
    Done done;
    absl::Time deadline;
  };
  // Tells the task that an answer was read, as long as the connection stands.
  struct Releaser {
    void Release(uint64_t id) {
      v1::LocalFrame frame;
      frame.mutable_release()->set_id(id);
      MutexLock lock(&mutex);
      if (connection != nullptr) connection->Send(frame);
    }
    Mutex mutex;
    LocalConnection* connection ABSL_GUARDED_BY(mutex) = nullptr;
  };

  absl::Status Answer(v1::LocalAnswer* answer) {
    const uint64_t id = answer->id();
    PushPullReply reply;
    if (answer->payload_size() > 0) {
      const std::shared_ptr<const void> read(
          this, [releaser = releaser_, id](const void*) { releaser->Release(id); });
      PARLEY_ASSIGN_OR_RETURN(reply.payload, ResolvePayload(theirs_, answer->payload(), read));
    }
    absl::optional<Waiting> waiting;
    {
      MutexLock lock(&mutex_);
      const auto it = waiting_.find(id);
      if (it == waiting_.end()) return absl::OkStatus();  // it came too late
      waiting = std::move(it->second);
      waiting_.erase(it);
    }
    on_end_(waiting->load);
    if (answer->code() != 0) {
      waiting->done(absl::Status(static_cast<absl::StatusCode>(answer->code()), answer->message()));
      return absl::OkStatus();
    }
    reply.response = std::move(*answer->mutable_response());
    waiting->done(std::move(reply));
    return absl::OkStatus();
  }

  void Forget(uint64_t id) {
    Payload held;  // let go outside the lock
    MutexLock lock(&mutex_);
    const auto it = held_.find(id);
    if (it == held_.end()) return;
    held = std::move(it->second);
    held_.erase(it);
  }

  const std::string who_;
  const std::shared_ptr<SharedArena> arena_;
  const absl::Duration grace_;
  OnEnd on_end_;
  const UniqueFd peer_;
  PeerSegments theirs_;  // the connection's thread's
  const std::shared_ptr<Releaser> releaser_;

  Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  AnnouncedSegments segments_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Payload> held_ ABSL_GUARDED_BY(mutex_);  // lent, and not released
  LocalConnection connection_;                                // last: its thread uses the others
};

// The links to one task, which have one end: when one of them has ended, none takes any more.
class Links {
 public:
  using Done = Link::Done;

  // At least one socket.
  Links(const std::string& who, std::vector<UniqueFd> sockets,
        const std::shared_ptr<SharedArena>& arena, absl::Duration grace)
      : who_(who), choice_(static_cast<int>(sockets.size())) {
    for (size_t i = 0; i < sockets.size(); ++i) {
      links_.push_back(std::make_unique<Link>(
          who, std::move(sockets[i]), arena, grace,
          [this, i](const LinkChoice::Load& load) { OnEnd(static_cast<int>(i), load); }));
    }
    for (const std::unique_ptr<Link>& link : links_) link->Start();
  }
  ~Links() {
    {
      MutexLock lock(&mutex_);
      closing_ = true;
    }
    // They still call OnEnd, which ends what is held.
    for (const std::unique_ptr<Link>& link : links_) link->Stop();
  }

  int size() const { return static_cast<int>(links_.size()); }
  bool ended() const {
    return std::any_of(links_.begin(), links_.end(),
                       [](const std::unique_ptr<Link>& link) { return link->ended(); });
  }
  void Lose() {
    {
      MutexLock lock(&mutex_);
      lost_ = true;
    }
    for (const std::unique_ptr<Link>& link : links_) link->Lose();
  }

  void Abandon() {
    for (const std::unique_ptr<Link>& link : links_) link->Abandon();
  }

  // False, with nothing taken, when a link has ended.
  bool PushPull(v1::PushPullRequest* request, const Payload& payload, Done* done) {
    if (ended()) return false;
    const LinkChoice::Load load(*request, payload.size());
    int chosen;
    {
      MutexLock lock(&mutex_);
      absl::optional<int> link;
      if (!load.pushes || held_.empty()) link = choice_.Choose(load);
      if (!link.has_value()) {
        held_.push_back({std::move(*request), payload, load, std::move(*done)});
        return true;
      }
      choice_.Begin(*link, load);
      chosen = *link;
    }
    if (links_[chosen]->PushPull(request, payload, load, done)) return true;
    OnEnd(chosen, load);
    return false;
  }

 private:
  // A push that waits for others of its blocks.
  struct Held {
    v1::PushPullRequest request;
    Payload payload;
    LinkChoice::Load load;
    Done done;
  };

  void OnEnd(int link, const LinkChoice::Load& load) {
    {
      MutexLock lock(&mutex_);
      choice_.End(link, load);
    }
    while (SendHeld()) {
    }
  }

  // Sends the first of those that wait, if it may go now and no other thread is about to send it.
  bool SendHeld() {
    Held* first;  // stays in its place until it is sent, and the others behind it
    int chosen;
    {
      MutexLock lock(&mutex_);
      if (sending_ || held_.empty()) return false;
      first = &held_.front();
      const absl::optional<int> link = choice_.Choose(first->load);
      if (!link.has_value()) return false;
      choice_.Begin(*link, first->load);
      chosen = *link;
      sending_ = true;
    }
    const bool sent =
        links_[chosen]->PushPull(&first->request, first->payload, first->load, &first->done);
    absl::optional<Held> refused;
    bool cancelled;
    {
      MutexLock lock(&mutex_);
      sending_ = false;
      cancelled = closing_ && !lost_;
      if (!sent) {
        choice_.End(chosen, first->load);
        refused = std::move(*first);
      }
      held_.pop_front();
    }
    if (refused.has_value()) {
      refused->done(
          cancelled
              ? absl::CancelledError(absl::StrCat(who_, ": PushPull: the channel is gone"))
              : absl::UnavailableError(absl::StrCat(who_, ": PushPull: lost before it was sent")));
    }
    return true;
  }

  const std::string who_;
  Mutex mutex_;
  LinkChoice choice_ ABSL_GUARDED_BY(mutex_);
  std::deque<Held> held_ ABSL_GUARDED_BY(mutex_);
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;  // the first of them
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Link>> links_;  // constant after construction
};

class LocalChannel final : public ForwardingParameterServer {
 public:
  LocalChannel(const std::string& task, std::unique_ptr<ParameterServer> remote,
               std::shared_ptr<SharedArena> arena, LocalChannelOptions options)
      : ForwardingParameterServer(remote.get()),
        who_(absl::StrCat(task, " on this host")),
        options_(options),
        arena_(std::move(arena)),
        remote_(std::move(remote)) {}

  ~LocalChannel() override {
    remote_.reset();  // its last `done` may be a Join's
    SetLinks(nullptr);
  }

  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    const int links = NumLinks(request.spec());
    remote_->Join(std::move(request), [this, links, done = std::move(done)](
                                          absl::StatusOr<v1::JoinResponse> response) mutable {
      if (response.ok()) {
        const absl::Status connected = ConnectTo(response->local_socket(), links);
        if (!connected.ok() && options_.required) return done(connected);
      }
      done(std::move(response));
    });
  }
  // A task that is started again has another socket.
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    remote_->Heartbeat(
        std::move(request),
        [this, done = std::move(done)](absl::StatusOr<v1::HeartbeatResponse> response) mutable {
          const std::shared_ptr<Links> links = CurrentLinks();
          if (response.ok() && links != nullptr && links->ended()) {
            const absl::Status connected = ConnectTo(response->local_socket(), links->size());
            LOG_IF(INFO, connected.ok()) << who_ << ": shared memory again";
          }
          done(std::move(response));
        });
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const std::shared_ptr<Links> links = CurrentLinks();
    if (links != nullptr && links->PushPull(&request, payload, &done)) return;
    remote_->PushPull(std::move(request), std::move(payload), std::move(done));
  }
  // What goes through shared memory is answered by the links' own threads.
  std::unique_ptr<Attendance> Attend() override {
    return CurrentLinks() == nullptr ? remote_->Attend() : nullptr;
  }
  void Abandon() override {
    const std::shared_ptr<Links> links = CurrentLinks();
    if (links != nullptr) links->Abandon();
  }

 private:
  // More of them than cores would only be in each other's way.
  static int NumLinks(const v1::JobSpec& spec) {
    const int64_t pairs = std::max<int64_t>(1, int64_t{spec.num_workers()} * spec.num_shards());
    const int64_t cores = std::thread::hardware_concurrency();
    return static_cast<int>(std::clamp<int64_t>(cores / pairs, 1, kMostLinks));
  }

  absl::Status ConnectTo(const std::string& name, int wanted) {
    absl::StatusOr<UniqueFd> socket = name.empty()
                                          ? absl::UnavailableError("it offers no shared memory")
                                          : LocalConnection::Connect(name);
    if (!socket.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          who_, ": it cannot be reached through shared memory: ", socket.status().message()));
    }
    std::vector<UniqueFd> sockets;
    for (; socket.ok(); socket = LocalConnection::Connect(name)) {
      sockets.push_back(*std::move(socket));
      if (static_cast<int>(sockets.size()) >= wanted) break;
    }
    SetLinks(std::make_shared<Links>(who_, std::move(sockets), arena_, options_.grace));
    return absl::OkStatus();
  }
  std::shared_ptr<Links> CurrentLinks() {
    MutexLock lock(&mutex_);
    return links_;
  }
  // Those before end outside the lock, for they wait for their threads. Of those that are replaced
  // one has ended, so that what waits for the others is lost.
  void SetLinks(std::shared_ptr<Links> links) {
    const bool replaced = links != nullptr;
    {
      MutexLock lock(&mutex_);
      links_.swap(links);
    }
    if (replaced && links != nullptr) links->Lose();
  }

  const std::string who_;
  const LocalChannelOptions options_;
  const std::shared_ptr<SharedArena> arena_;
  std::unique_ptr<ParameterServer> remote_;
  Mutex mutex_;
  std::shared_ptr<Links> links_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<ParameterServer> NewLocalChannel(const std::string& task,
                                                 std::unique_ptr<ParameterServer> remote,
                                                 std::shared_ptr<SharedArena> arena,
                                                 LocalChannelOptions options) {
  return std::make_unique<LocalChannel>(task, std::move(remote), std::move(arena), options);
}

}  // namespace parley
