#ifndef PARLEY_NET_TESTING_SIMULATED_ETCD_H_
#define PARLEY_NET_TESTING_SIMULATED_ETCD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "net/etcd_client.h"
#include "net/testing/simulated_network.h"

namespace parley {

// A SimulatedEtcd is a model of an etcd server at host "etcd" of a SimulatedNetwork: one store with
// revisions, transactions, leases that end some time after their time to live, and watches. What is
// sent there may be done though its answer is lost, or be done late, when the client has long been
// told that it was lost. While it is away, no lease ends, and when it comes back, all begin anew,
// as after the election of another leader.
//
// Everything is called inside Simulation::Run. Never deleted.
class SimulatedEtcd {
 public:
  static constexpr char kHost[] = "etcd";

  explicit SimulatedEtcd(SimulatedNetwork* network) : network_(network) {}

  // Of all calls, one of so many is lost on the way there, or back, or is done late; 0: none.
  void set_lose_one_in(int64_t one_in) { lose_one_in_ = one_in; }
  // Answers nobody for so long.
  void GoAway(absl::Duration duration);

  // For a task on `host`.
  std::unique_ptr<EtcdClient> NewClient(const std::string& host);

  // What stands there, for who checks it.
  EtcdRange Look(const std::string& prefix) const;

 private:
  class Client;
  struct Lease {
    absl::Duration ttl;
    absl::Duration ends;
  };

  bool IsAway() const { return Simulation::Elapsed() < away_until_; }
  void Write(const EtcdWrite& write, int64_t revision);
  int64_t Remove(const std::string& key, int64_t revision);
  void Changed(const std::string& key);
  absl::StatusOr<EtcdTransactionResult> Transact(const EtcdTransaction& transaction);
  EtcdGrant Grant(absl::Duration ttl);
  void EndLater(int64_t lease);
  void End(int64_t lease);
  bool HasChanged(const std::string& prefix, int64_t revision) const;

  SimulatedNetwork* const network_;
  int64_t lose_one_in_ = 0;
  absl::Duration away_until_ = absl::ZeroDuration();
  int64_t revision_ = 1;
  int64_t next_lease_ = 100;
  std::map<std::string, EtcdEntry> entries_;
  std::map<std::string, int64_t> changes_;  // the last of each key that there ever was
  std::map<int64_t, Lease> leases_;
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_SIMULATED_ETCD_H_
