#include "net/testing/simulated_network.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

// As GrpcChannelOptions has them.
constexpr absl::Duration kGrace = absl::Seconds(5);
constexpr absl::Duration kKeepAlive = absl::Seconds(20);
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
constexpr absl::Duration kLongestBackoff = absl::Seconds(2);
// Threads of a process that receive: those of its server, and one for answers.
constexpr size_t kServerThreads = 2;
constexpr size_t kThreads = kServerThreads + 1;
constexpr int kConnections = 3;  // of a channel: one for control, two for data

std::string HostOf(const std::string& address) { return address.substr(0, address.find(':')); }

// What arrives stands in other memory, in pieces.
Payload Copied(const Payload& payload) {
  Payload copy;
  if (payload.empty()) return copy;
  const auto bytes = std::make_shared<std::string>(payload.size(), '\0');
  payload.CopyTo(bytes->data());
  const size_t cut =
      Simulation::random().OneIn(3)
          ? static_cast<size_t>(Simulation::random().Below(static_cast<int64_t>(payload.size())))
          : 0;
  copy.Append(bytes->data(), cut, bytes);
  copy.Append(bytes->data() + cut, bytes->size() - cut, bytes);
  return copy;
}

template <typename Response>
void CopyPayload(Response*) {}
void CopyPayload(ParameterServer::PushPullReply* reply) { reply->payload = Copied(reply->payload); }
void CopyPayload(ParameterServer::FetchReplicaReply* reply) {
  reply->payload = Copied(reply->payload);
}

}  // namespace

struct SimulatedNetwork::Inbox {
  std::deque<Event> events[kThreads];
};

// One TCP connection.
struct SimulatedNetwork::Link {
  int64_t instance = 0;  // of the listener; 0: not connected yet
  bool broken = false;
  absl::Duration arrives_until;  // once broken
  absl::Duration last[2];        // arrival, by direction
  std::deque<Event> events[2];   // on their way
  int stopped[2] = {0, 0};       // that would have arrived, were it not cut
};

struct SimulatedNetwork::Call {
  std::string what;
  bool sent = false;  // over a connection
  bool over = false;
  int64_t number = 0;
  // On a server's thread; the function to answer with may be called anywhere.
  absl::AnyInvocable<void(ParameterServer*, const std::shared_ptr<Link>&)> serve;
  // On the client's thread.
  absl::AnyInvocable<void(absl::Status)> fail;
};

struct SimulatedNetwork::Connection {
  std::string from;     // host
  std::string address;  // of the other end
  std::string to;       // its host
  std::string who;
  SimulatedProcess* process;
  Inbox* inbox;
  int64_t number;
  std::shared_ptr<Link> link = std::make_shared<Link>();
  std::map<int64_t, std::shared_ptr<Call>> calls;  // not over, by number
  absl::Duration backoff = kFirstBackoff;
  absl::Duration retry_at;  // after it was refused
};

class SimulatedNetwork::Channel final : public ParameterServer {
 public:
  Channel(SimulatedNetwork* network, std::vector<std::shared_ptr<Connection>> connections)
      : network_(network), connections_(std::move(connections)) {}

  ~Channel() override {
    for (const auto& connection : connections_) {
      for (const auto& [number, call] : connection->calls) {
        Post(connection->inbox, kServerThreads, [call = call] {
          if (!call->over) call->fail(absl::CancelledError(call->what + "the channel was closed"));
        });
      }
    }
    while (outstanding_ > 0) Simulation::Wait(&outstanding_, absl::InfiniteDuration());
    auto& all = network_->connections_;
    for (const auto& connection : connections_) {
      all.erase(std::find(all.begin(), all.end(), connection));
    }
  }

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override {
    Send(&ParameterServer::Declare, "Declare", request.wait_ms(), std::move(request),
         std::move(done));
  }
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    Send(&ParameterServer::Join, "Join", request.wait_ms(), std::move(request), std::move(done));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    Send(&ParameterServer::Heartbeat, "Heartbeat", 0, std::move(request), std::move(done));
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    size_t turn = next_data_++ % 2;
    if (request.pull_size() == 0) turn = 0;
    if (request.push_size() == 0) turn = 1;
    const int64_t wait_ms = request.wait_ms();
    auto sent = std::make_shared<Payload>(Copied(payload));
    Start<PushPullReply>(
        connections_[1 + turn], "PushPull", wait_ms,
        [request = std::move(request), sent](ParameterServer* server,
                                             Done<PushPullReply> answer) mutable {
          server->PushPull(std::move(request), std::move(*sent), std::move(answer));
        },
        std::move(done));
  }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    Send(&ParameterServer::Leave, "Leave", 0, std::move(request), std::move(done));
  }
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override {
    Send(&ParameterServer::Barrier, "Barrier", request.wait_ms(), std::move(request),
         std::move(done));
  }
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override {
    Send(&ParameterServer::Checkpoint, "Checkpoint", request.wait_ms(), std::move(request),
         std::move(done));
  }
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override {
    Send(&ParameterServer::DescribeBlocks, "DescribeBlocks", 0, std::move(request),
         std::move(done));
  }
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    Send(&ParameterServer::GetNormSums, "GetNormSums", request.wait_ms(), std::move(request),
         std::move(done));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    Send(&ParameterServer::SetNormTotals, "SetNormTotals", 0, std::move(request), std::move(done));
  }
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override {
    Send(&ParameterServer::Ask, "Ask", 0, std::move(request), std::move(done));
  }
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override {
    Send(&ParameterServer::GetStatus, "GetStatus", 0, std::move(request), std::move(done));
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    auto sent = std::make_shared<Payload>(Copied(payload));
    Start<v1::ReplicateResponse>(
        connections_[1], "Replicate", 0,
        [request = std::move(request), sent](ParameterServer* server,
                                             Done<v1::ReplicateResponse> answer) mutable {
          server->Replicate(std::move(request), std::move(*sent), std::move(answer));
        },
        std::move(done));
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    Send(&ParameterServer::FetchReplica, "FetchReplica", 0, std::move(request), std::move(done));
  }

 private:
  template <typename Request, typename Response>
  void Send(void (ParameterServer::*method)(Request, Done<Response>), const char* name,
            int64_t wait_ms, Request request, Done<Response> done) {
    Start<Response>(
        connections_[0], name, wait_ms,
        [method, request = std::move(request)](ParameterServer* server,
                                               Done<Response> answer) mutable {
          (server->*method)(std::move(request), std::move(answer));
        },
        std::move(done));
  }

  template <typename Response, typename Serve>
  void Start(const std::shared_ptr<Connection>& connection, const char* name, int64_t wait_ms,
             Serve serve, Done<Response> done) {
    const auto call = std::make_shared<Call>();
    SimulatedNetwork* const network = network_;
    call->what = absl::StrCat(connection->who, ": ", name, ": ");
    call->number = network->next_number_++;
    ++outstanding_;
    connection->calls.emplace(call->number, call);
    // On the client's thread; the first ends the call.
    auto finish = [this, connection, number = call->number, done = std::move(done),
                   over = &call->over](absl::StatusOr<Response> answer) mutable {
      *over = true;
      connection->calls.erase(number);  // the caller holds the call
      done(std::move(answer));
      done = nullptr;
      if (--outstanding_ == 0) Simulation::WakeAll(&outstanding_);
    };
    const auto shared = std::make_shared<decltype(finish)>(std::move(finish));
    call->fail = [shared](absl::Status status) { (*shared)(std::move(status)); };
    call->serve = [network, connection, call = std::weak_ptr<Call>(call), shared,
                   serve = std::move(serve)](ParameterServer* server,
                                             const std::shared_ptr<Link>& link) mutable {
      serve(server, [network, connection, call, shared, link](absl::StatusOr<Response> answer) {
        if (link->broken) return;
        if (answer.ok()) CopyPayload(&*answer);
        auto sent = std::make_shared<absl::StatusOr<Response>>(std::move(answer));
        network->Transmit(connection, link, false, [connection, call, shared, sent] {
          Post(connection->inbox, kServerThreads, [call, shared, sent] {
            const std::shared_ptr<Call> held = call.lock();
            if (held != nullptr && !held->over) (*shared)(std::move(*sent));
          });
        });
      });
    };
    const absl::Duration timeout = absl::Milliseconds(std::max<int64_t>(wait_ms, 0)) + kGrace;
    Simulation::After(timeout, [connection, weak = std::weak_ptr<Call>(call), timeout] {
      const std::shared_ptr<Call> late = weak.lock();
      if (late == nullptr || late->over) return;
      Post(connection->inbox, kServerThreads, [late, timeout] {
        if (late->over) return;
        const std::string within = absl::FormatDuration(timeout);
        late->fail(
            late->sent
                ? absl::DeadlineExceededError(absl::StrCat(late->what, "no answer within ", within))
                : absl::UnavailableError(absl::StrCat(late->what, "not reached within ", within)));
      });
    });
    network->Begin(connection, call);
  }

  SimulatedNetwork* const network_;
  const std::vector<std::shared_ptr<Connection>> connections_;
  size_t next_data_ = 0;
  int outstanding_ = 0;
};

SimulatedNetwork::Inbox* SimulatedNetwork::InboxOf(SimulatedProcess* process) {
  std::shared_ptr<Inbox>& inbox = inboxes_[process];
  if (inbox != nullptr) return inbox.get();
  inbox = std::make_shared<Inbox>();
  for (size_t i = 0; i < kThreads; ++i) {
    Simulation::Spawn(process, absl::StrCat("receives ", i), [events = &inbox->events[i]] {
      for (;;) {
        while (events->empty()) Simulation::Wait(events, absl::InfiniteDuration());
        Event event = std::move(events->front());
        events->pop_front();
        event();
      }
    });
  }
  return inbox.get();
}

void SimulatedNetwork::Post(Inbox* inbox, size_t thread, Event event) {
  inbox->events[thread].push_back(std::move(event));
  Simulation::WakeAll(&inbox->events[thread]);
}

void SimulatedNetwork::Listen(const std::string& address, SimulatedProcess* process,
                              ParameterServer* service) {
  InboxOf(process);
  listeners_[address] = {process, service, next_number_++};
  if (gone_.erase(HostOf(address)) == 0) return;
  for (const auto& connection : connections_) Release(connection);
}

void SimulatedNetwork::Vanish(const std::string& address) {
  const auto found = listeners_.find(address);
  gone_.insert(HostOf(address));
  if (found == listeners_.end()) return;
  const int64_t instance = found->second.instance;
  listeners_.erase(found);
  for (const auto& connection : connections_) {
    if (connection->address == address && connection->link->instance == instance) {
      GiveUpLater(connection, [] { return true; });
    }
  }
}

void SimulatedNetwork::GiveUpLater(const std::shared_ptr<Connection>& connection,
                                   std::function<bool()> still) {
  const absl::Duration after = Simulation::random().Between(kKeepAlive / 2, kKeepAlive);
  Simulation::After(after, [this, connection, still, link = connection->link] {
    if (connection->link == link && still()) Break(connection, "the other end is silent", false);
  });
}

void SimulatedNetwork::Close(const std::string& address) {
  const auto found = listeners_.find(address);
  if (found == listeners_.end()) return;
  const int64_t instance = found->second.instance;
  listeners_.erase(found);
  for (const auto& connection : connections_) {
    if (connection->address != address || connection->link->instance != instance) continue;
    Transmit(connection, connection->link, false, [this, connection, link = connection->link] {
      if (connection->link == link) Break(connection, "reset by its end", false);
    });
  }
}

std::unique_ptr<ParameterServer> SimulatedNetwork::NewChannel(const std::string& host,
                                                              const std::string& task,
                                                              const std::string& address) {
  std::vector<std::shared_ptr<Connection>> connections;
  for (int i = 0; i < kConnections; ++i) {
    auto connection = std::make_shared<Connection>();
    connection->from = host;
    connection->address = address;
    connection->to = HostOf(address);
    connection->who = absl::StrCat(task, " at ", address);
    connection->process = Simulation::current();
    connection->inbox = InboxOf(connection->process);
    connection->number = next_number_++;
    connections.push_back(connection);
    connections_.push_back(std::move(connection));
  }
  return std::make_unique<Channel>(this, std::move(connections));
}

bool SimulatedNetwork::IsRefused(const std::string& host, const std::string& address,
                                 absl::Duration timeout) {
  const std::string to = HostOf(address);
  if (IsCut(host, to) || IsCut(to, host)) {
    Simulation::Sleep(timeout);
    return false;
  }
  Simulation::Sleep(Delay());
  return listeners_.count(address) == 0;
}

absl::Duration SimulatedNetwork::Delay() {
  SimulatedRandom& random = Simulation::random();
  absl::Duration delay = random.UpTo(faults_.longest_delay);
  if (random.OneIn(faults_.slow_one_in)) {
    Count("slow messages");
    delay += random.UpTo(absl::Milliseconds(300));
  }
  return delay;
}

void SimulatedNetwork::Cut(const std::string& from, const std::string& to) {
  const int64_t number = next_number_++;
  cuts_[{from, to}] = number;
  // Who hears nothing gives the connection up.
  for (const auto& connection : connections_) {
    const bool there = connection->from == from && connection->to == to;
    const bool back = connection->from == to && connection->to == from;
    if (!there && !back) continue;
    GiveUpLater(connection, [this, from, to, number] {
      const auto cut = cuts_.find({from, to});
      return cut != cuts_.end() && cut->second == number;
    });
  }
}

void SimulatedNetwork::Heal(const std::string& from, const std::string& to) {
  if (cuts_.erase({from, to}) == 0) return;
  for (const auto& connection : connections_) Release(connection);
}

void SimulatedNetwork::HealAll() {
  cuts_.clear();
  for (const auto& connection : connections_) Release(connection);
}

void SimulatedNetwork::Release(const std::shared_ptr<Connection>& connection) {
  for (const bool to_server : {true, false}) {
    const std::shared_ptr<Link> link = connection->link;
    for (; link->stopped[to_server] > 0; --link->stopped[to_server]) {
      Simulation::After(
          Delay(), [this, connection, link, to_server] { Arrive(connection, link, to_server); });
    }
  }
}

void SimulatedNetwork::Transmit(const std::shared_ptr<Connection>& connection,
                                const std::shared_ptr<Link>& link, bool to_server, Event event) {
  const absl::Duration now = Simulation::Elapsed();
  absl::Duration& last = link->last[to_server];
  last = std::max(last + absl::Nanoseconds(1), now + Delay());
  link->events[to_server].push_back(std::move(event));
  Simulation::After(last - now,
                    [this, connection, link, to_server] { Arrive(connection, link, to_server); });
}

void SimulatedNetwork::Arrive(const std::shared_ptr<Connection>& connection,
                              const std::shared_ptr<Link>& link, bool to_server) {
  std::deque<Event>& events = link->events[to_server];
  if (events.empty()) return;  // lost when the connection broke
  const std::string& from = to_server ? connection->from : connection->to;
  const std::string& to = to_server ? connection->to : connection->from;
  // A connection comes about only when both directions are open.
  if (IsCut(from, to) || (link->instance == 0 && IsCut(to, from))) {
    ++link->stopped[to_server];
    return;
  }
  Event event = std::move(events.front());
  events.pop_front();
  if (link->broken && Simulation::Elapsed() > link->arrives_until) {
    return Count("messages lost with their connection");
  }
  if (!link->broken && Simulation::random().OneIn(faults_.break_one_in)) {
    Count("broken connections");
    Break(connection, "the connection broke", false);
    if (!to_server || Simulation::random().OneIn(2)) return;
  }
  event();
}

void SimulatedNetwork::Begin(const std::shared_ptr<Connection>& connection,
                             const std::shared_ptr<Call>& call) {
  const absl::Duration now = Simulation::Elapsed();
  if (now < connection->retry_at) {
    Post(connection->inbox, kServerThreads, [call] {
      if (!call->over) call->fail(absl::UnavailableError(call->what + "not reached"));
    });
    return;
  }
  Transmit(connection, connection->link, true,
           [this, connection, call, link = connection->link] { Reach(connection, link, call); });
}

void SimulatedNetwork::Reach(const std::shared_ptr<Connection>& connection,
                             const std::shared_ptr<Link>& link, const std::shared_ptr<Call>& call) {
  const auto found = listeners_.find(connection->address);
  const bool there = found != listeners_.end();
  if (!there || (link->instance != 0 && link->instance != found->second.instance)) {
    // Nobody listens, or another process than that of the connection.
    if (link->broken) return;
    Transmit(connection, link, false, [this, connection, link, there] {
      if (connection->link == link) {
        Break(connection, there ? "reset by its end" : "refused", !there && link->instance == 0);
      }
    });
    return;
  }
  const Listener& listener = found->second;
  if (link->instance == 0) {
    // It is connected, when the other direction is open too.
    link->instance = listener.instance;
    connection->backoff = kFirstBackoff;
  }
  call->sent = true;
  Post(InboxOf(listener.process), static_cast<size_t>(connection->number) % kServerThreads,
       [this, call, link, address = connection->address, instance = listener.instance] {
         // Who listened may have ended in good order meanwhile.
         const auto still = listeners_.find(address);
         if (still == listeners_.end() || still->second.instance != instance) return;
         call->serve(still->second.service, link);
       });
}

void SimulatedNetwork::Break(const std::shared_ptr<Connection>& connection, const std::string& why,
                             bool refused) {
  Link& link = *connection->link;
  link.broken = true;
  // What is on its way may still come, up to here.
  link.arrives_until = Simulation::Elapsed() + Simulation::random().UpTo(absl::Milliseconds(5));
  link.events[0].clear();  // to the client
  connection->link = std::make_shared<Link>();
  if (refused) {
    connection->retry_at = Simulation::Elapsed() + connection->backoff;
    connection->backoff = std::min(2 * connection->backoff, kLongestBackoff);
  }
  for (const auto& [number, call] : connection->calls) {
    Post(connection->inbox, kServerThreads, [call = call, why] {
      if (!call->over) {
        call->fail(absl::UnavailableError(absl::StrCat(call->what, "not reached, or lost: ", why)));
      }
    });
  }
}

}  // namespace parley
