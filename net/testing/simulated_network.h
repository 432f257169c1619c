#ifndef PARLEY_NET_TESTING_SIMULATED_NETWORK_H_
#define PARLEY_NET_TESTING_SIMULATED_NETWORK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/testing/simulation.h"
#include "net/parameter_server.h"

namespace parley {

// A SimulatedNetwork carries calls of ParameterServers between the processes of a Simulation as
// GrpcChannel and GrpcServer do over TCP: each connection keeps the order of what it carries, and
// neither loses nor repeats anything while it lasts. Connections break, and with them go the
// answers on their way, and requests that may have arrived or not; a process that was stopped
// handles what came by a connection that is long gone after what was sent again by another. So
// duplicates and late requests come about as in life, from retries.
//
// A host is the part of an address before the colon. Between hosts each direction can be cut: then
// nothing arrives there until it is healed, when it does, unless the connection was given up.
//
// Everything is called inside Simulation::Run. Never deleted: threads that were dropped use it.
class SimulatedNetwork {
 public:
  struct Faults {
    absl::Duration longest_delay = absl::Milliseconds(1);
    int64_t slow_one_in = 0;   // messages, by up to 300 ms; 0: none
    int64_t break_one_in = 0;  // messages: their connection breaks
  };

  SimulatedNetwork() = default;

  void set_faults(const Faults& faults) { faults_ = faults; }

  // `service` answers at `address`, on threads of `process`, and of this start of it only.
  void Listen(const std::string& address, SimulatedProcess* process, ParameterServer* service);
  // The process at `address` has died, and its host's kernel says so to all who are connected.
  void Close(const std::string& address);
  // The host has gone with the process, and nobody hears of it.
  // Until somebody listens on it again.
  void Vanish(const std::string& address);

  // As NewGrpcChannel, from `host`; its callbacks run on a thread of the current process.
  std::unique_ptr<ParameterServer> NewChannel(const std::string& host, const std::string& task,
                                              const std::string& address);
  // As net/probe_address.h.
  bool IsRefused(const std::string& host, const std::string& address, absl::Duration timeout);

  // What `from` sends does not arrive at `to`.
  void Cut(const std::string& from, const std::string& to);
  void Heal(const std::string& from, const std::string& to);
  void HealAll();
  bool IsCut(const std::string& from, const std::string& to) const {
    return cuts_.count({from, to}) > 0 || gone_.count(from) > 0 || gone_.count(to) > 0;
  }

  absl::Duration Delay();

  // How often each kind of fault has come about.
  void Count(const std::string& fault) { ++counts_[fault]; }
  const std::map<std::string, int64_t>& counts() const { return counts_; }

 private:
  class Channel;
  struct Call;
  struct Link;
  struct Connection;
  struct Inbox;
  struct Listener {
    SimulatedProcess* process;
    ParameterServer* service;
    int64_t instance;
  };
  using Event = absl::AnyInvocable<void()>;

  Inbox* InboxOf(SimulatedProcess* process);
  // On thread `thread` of the process's.
  static void Post(Inbox* inbox, size_t thread, Event event);
  // `event` runs when what is sent now over the link in that direction arrives.
  void Transmit(const std::shared_ptr<Connection>& connection, const std::shared_ptr<Link>& link,
                bool to_server, Event event);
  // The next of the link's messages arrives, unless the way is cut.
  void Arrive(const std::shared_ptr<Connection>& connection, const std::shared_ptr<Link>& link,
              bool to_server);
  void Begin(const std::shared_ptr<Connection>& connection, const std::shared_ptr<Call>& call);
  void Reach(const std::shared_ptr<Connection>& connection, const std::shared_ptr<Link>& link,
             const std::shared_ptr<Call>& call);
  // All calls under way end UNAVAILABLE.
  void Break(const std::shared_ptr<Connection>& connection, const std::string& why, bool refused);
  // As by pings that are not answered: the connection breaks, if it is `still` cut then.
  void GiveUpLater(const std::shared_ptr<Connection>& connection, std::function<bool()> still);
  void Release(const std::shared_ptr<Connection>& connection);

  Faults faults_;
  std::map<std::string, Listener> listeners_;  // by address
  std::map<SimulatedProcess*, std::shared_ptr<Inbox>> inboxes_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::map<std::pair<std::string, std::string>, int64_t> cuts_;  // the number of each
  std::set<std::string> gone_;                                   // hosts
  int64_t next_number_ = 1;
  std::map<std::string, int64_t> counts_;
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_SIMULATED_NETWORK_H_
