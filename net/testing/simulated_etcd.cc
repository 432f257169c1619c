#include "net/testing/simulated_etcd.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/simulation.h"

namespace parley {
namespace {

constexpr absl::Duration kShortestLease = absl::Seconds(2);
// It looks for leases that have ended so often.
constexpr absl::Duration kLook = absl::Milliseconds(500);

}  // namespace

class SimulatedEtcd::Client final : public EtcdClient {
 public:
  Client(SimulatedEtcd* etcd, std::string host) : etcd_(etcd), host_(std::move(host)) {}

  absl::StatusOr<EtcdRange> List(const std::string& prefix) override {
    return Do<EtcdRange>("List " + prefix, timeout_,
                         [etcd = etcd_, prefix] { return etcd->Look(prefix); });
  }
  absl::StatusOr<EtcdRange> Get(const std::string& key) override {
    return Do<EtcdRange>("Get " + key, timeout_, [etcd = etcd_, key] {
      EtcdRange range;
      range.revision = etcd->revision_;
      const auto found = etcd->entries_.find(key);
      if (found != etcd->entries_.end()) range.entries.push_back(found->second);
      return range;
    });
  }
  absl::Status Put(const EtcdWrite& write) override { return Transact({{}, {write}, {}}).status(); }
  absl::StatusOr<int64_t> Delete(const std::string& key) override {
    return Do<int64_t>("Delete " + key, timeout_,
                       [etcd = etcd_, key] { return etcd->Remove(key, etcd->revision_ + 1); });
  }
  absl::StatusOr<int64_t> DeletePrefix(const std::string& prefix) override {
    return Do<int64_t>("DeletePrefix " + prefix, timeout_, [etcd = etcd_, prefix] {
      int64_t removed = 0;
      const int64_t revision = etcd->revision_ + 1;
      for (const EtcdEntry& entry : etcd->Look(prefix).entries) {
        removed += etcd->Remove(entry.key, revision);
      }
      return removed;
    });
  }
  absl::StatusOr<EtcdTransactionResult> Transact(const EtcdTransaction& transaction) override {
    return Do<EtcdTransactionResult>(
        "Transact", timeout_, [etcd = etcd_, transaction] { return etcd->Transact(transaction); });
  }
  absl::StatusOr<bool> AwaitChange(const std::string& prefix, int64_t revision,
                                   absl::Duration timeout) override {
    const absl::Duration deadline = Simulation::Elapsed() + timeout;
    bool watching = false;
    for (;;) {
      if (cancelled_) return absl::CancelledError("etcd: the client was cancelled");
      Simulation::Sleep(etcd_->network_->Delay());
      const absl::Duration left = deadline - Simulation::Elapsed();
      const bool reached = IsReached();
      watching = watching || reached;
      if (reached && etcd_->HasChanged(prefix, revision)) return true;
      if (left <= absl::ZeroDuration()) break;
      if (reached) {
        Simulation::Wait(&etcd_->changes_, left);
      } else {
        Simulation::Sleep(std::min(left, absl::Milliseconds(50)));
      }
    }
    if (watching) return false;
    return absl::DeadlineExceededError("etcd: AwaitChange: no answer");
  }
  absl::StatusOr<EtcdGrant> GrantLease(absl::Duration ttl) override {
    return Do<EtcdGrant>("GrantLease", timeout_, [etcd = etcd_, ttl] { return etcd->Grant(ttl); });
  }
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t id, absl::Duration timeout) override {
    return Do<absl::Duration>("KeepLeaseAlive", timeout,
                              [etcd = etcd_, id]() -> absl::StatusOr<absl::Duration> {
                                const auto found = etcd->leases_.find(id);
                                if (found == etcd->leases_.end()) {
                                  return absl::NotFoundError("etcd: the lease has ended");
                                }
                                found->second.ends = Simulation::Elapsed() + found->second.ttl;
                                return found->second.ttl;
                              });
  }
  absl::Status RevokeLease(int64_t id) override {
    return Do<bool>("RevokeLease", timeout_,
                    [etcd = etcd_, id]() -> absl::StatusOr<bool> {
                      if (etcd->leases_.count(id) == 0)
                        return absl::NotFoundError("etcd: no such lease");
                      etcd->End(id);
                      return true;
                    })
        .status();
  }
  void Cancel() override { cancelled_ = true; }

 private:
  template <typename Result>
  struct Call {
    absl::StatusOr<Result> answer = absl::UnavailableError("");
    bool answered = false;
  };

  bool IsReached() const {
    return !etcd_->IsAway() && !etcd_->network_->IsCut(host_, kHost) &&
           !etcd_->network_->IsCut(kHost, host_);
  }

  // As EtcdClient: the answer, or UNAVAILABLE or DEADLINE_EXCEEDED, and it may have been done.
  template <typename Result>
  absl::StatusOr<Result> Do(const std::string& what, absl::Duration timeout,
                            std::function<absl::StatusOr<Result>()> apply) {
    if (cancelled_) return absl::CancelledError("etcd: the client was cancelled");
    SimulatedNetwork* const network = etcd_->network_;
    SimulatedRandom& random = Simulation::random();
    const auto call = std::make_shared<Call<Result>>();
    const bool lost = random.OneIn(etcd_->lose_one_in_);
    // Lost on the way there, or back, or done late.
    const int64_t how = lost ? random.Below(3) : -1;
    if (lost) network->Count("calls of etcd lost");
    absl::Duration there = network->Delay();
    if (how == 2) there += random.UpTo(absl::Seconds(3));
    if (how != 0) {
      Simulation::After(there, [etcd = etcd_, host = host_, call, apply, how] {
        Arrive(etcd, host, call, apply, how);
      });
    }
    const absl::Duration patience =
        lost ? random.UpTo(std::min(timeout, absl::Milliseconds(500))) : timeout;
    const absl::Duration deadline = Simulation::Elapsed() + patience;
    while (!call->answered) {
      const absl::Duration left = deadline - Simulation::Elapsed();
      if (left <= absl::ZeroDuration()) break;
      Simulation::Wait(call.get(), left);
    }
    if (call->answered) return call->answer;
    if (lost) return absl::UnavailableError("etcd: " + what + ": not reached, or lost");
    return absl::DeadlineExceededError("etcd: " + what + ": no answer");
  }

  // The client may be gone by then.
  template <typename Result>
  static void Arrive(SimulatedEtcd* etcd, const std::string& host,
                     const std::shared_ptr<Call<Result>>& call,
                     const std::function<absl::StatusOr<Result>()>& apply, int64_t how) {
    SimulatedNetwork* const network = etcd->network_;
    if (etcd->IsAway() || network->IsCut(host, kHost)) {
      // It is sent again, or not.
      if (Simulation::random().OneIn(3)) return;
      Simulation::After(absl::Milliseconds(200) + network->Delay(),
                        [etcd, host, call, apply, how] { Arrive(etcd, host, call, apply, how); });
      return;
    }
    call->answer = apply();
    if (how >= 0) return;
    Simulation::After(network->Delay(), [call, network, host] {
      if (network->IsCut(kHost, host)) return;
      call->answered = true;
      Simulation::WakeAll(call.get());
    });
  }

  SimulatedEtcd* const etcd_;
  const std::string host_;
  const absl::Duration timeout_ = EtcdClientOptions().timeout;
  bool cancelled_ = false;
};

std::unique_ptr<EtcdClient> SimulatedEtcd::NewClient(const std::string& host) {
  return std::make_unique<Client>(this, host);
}

void SimulatedEtcd::GoAway(absl::Duration duration) {
  away_until_ = std::max(away_until_, Simulation::Elapsed() + duration);
  for (auto& [id, lease] : leases_) lease.ends = away_until_ + lease.ttl;
}

EtcdRange SimulatedEtcd::Look(const std::string& prefix) const {
  EtcdRange range;
  range.revision = revision_;
  for (auto it = entries_.lower_bound(prefix); it != entries_.end(); ++it) {
    if (!absl::StartsWith(it->first, prefix)) break;
    range.entries.push_back(it->second);
  }
  return range;
}

void SimulatedEtcd::Changed(const std::string& key) {
  changes_[key] = revision_;
  Simulation::WakeAll(&changes_);
}

void SimulatedEtcd::Write(const EtcdWrite& write, int64_t revision) {
  EtcdEntry& entry = entries_[write.key];
  if (entry.create_revision == 0) entry.create_revision = revision;
  entry.key = write.key;
  entry.value = write.value;
  entry.mod_revision = revision;
  entry.lease = write.lease;
  revision_ = revision;
  Changed(write.key);
}

int64_t SimulatedEtcd::Remove(const std::string& key, int64_t revision) {
  if (entries_.erase(key) == 0) return 0;
  revision_ = revision;
  Changed(key);
  return 1;
}

absl::StatusOr<EtcdTransactionResult> SimulatedEtcd::Transact(const EtcdTransaction& transaction) {
  for (const EtcdCondition& condition : transaction.conditions) {
    const auto found = entries_.find(condition.key);
    int64_t revision = 0;
    if (found != entries_.end()) {
      revision = condition.of == EtcdCondition::Of::kModRevision ? found->second.mod_revision
                                                                 : found->second.create_revision;
    }
    if (revision != condition.revision) return EtcdTransactionResult{false, revision_};
  }
  for (const EtcdWrite& write : transaction.puts) {
    if (write.lease != 0 && leases_.count(write.lease) == 0) {
      return absl::NotFoundError("etcd: Transact: requested lease not found");
    }
  }
  const int64_t revision = revision_ + 1;
  for (const EtcdWrite& write : transaction.puts) Write(write, revision);
  for (const std::string& key : transaction.deletes) Remove(key, revision);
  return EtcdTransactionResult{true, revision_};
}

EtcdGrant SimulatedEtcd::Grant(absl::Duration ttl) {
  ttl = std::max(absl::Ceil(ttl, absl::Seconds(1)), kShortestLease);
  const int64_t id = next_lease_++;
  leases_[id] = {ttl, Simulation::Elapsed() + ttl};
  EndLater(id);
  return {id, ttl};
}

void SimulatedEtcd::EndLater(int64_t id) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  if (Simulation::Elapsed() >= found->second.ends && !IsAway()) return End(id);
  const absl::Duration left = std::max(found->second.ends - Simulation::Elapsed(), kLook / 5);
  Simulation::After(left + Simulation::random().UpTo(kLook), [this, id] { EndLater(id); });
}

void SimulatedEtcd::End(int64_t id) {
  leases_.erase(id);
  const int64_t revision = revision_ + 1;
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.lease == id) keys.push_back(key);
  }
  for (const std::string& key : keys) Remove(key, revision);
}

bool SimulatedEtcd::HasChanged(const std::string& prefix, int64_t revision) const {
  for (auto it = changes_.lower_bound(prefix); it != changes_.end(); ++it) {
    if (!absl::StartsWith(it->first, prefix)) return false;
    if (it->second > revision) return true;
  }
  return false;
}

}  // namespace parley
