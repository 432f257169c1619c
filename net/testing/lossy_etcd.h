#ifndef PARLEY_NET_TESTING_LOSSY_ETCD_H_
#define PARLEY_NET_TESTING_LOSSY_ETCD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/etcd_client.h"

namespace parley {

// An etcd whose answers may be lost. Thread safety: as the client that it has.
class LossyEtcd final : public EtcdClient {
 public:
  explicit LossyEtcd(std::unique_ptr<EtcdClient> etcd) : etcd_(std::move(etcd)) {}

  // That to the next transaction, which is done.
  void LoseNextAnswer() { loses_ = true; }
  bool has_lost() const { return !loses_; }
  // That to the next which removes something, likewise.
  void LoseNextRemoval() { loses_removal_ = true; }
  bool has_lost_removal() const { return !loses_removal_; }
  // No transaction arrives.
  void Refuse(bool all) { refuses_ = all; }

  absl::StatusOr<EtcdRange> List(const std::string& prefix) override { return etcd_->List(prefix); }
  absl::StatusOr<EtcdRange> Get(const std::string& key) override { return etcd_->Get(key); }
  absl::Status Put(const EtcdWrite& write) override { return etcd_->Put(write); }
  absl::StatusOr<int64_t> Delete(const std::string& key) override { return etcd_->Delete(key); }
  absl::StatusOr<int64_t> DeletePrefix(const std::string& prefix) override {
    return etcd_->DeletePrefix(prefix);
  }
  absl::StatusOr<EtcdTransactionResult> Transact(const EtcdTransaction& transaction) override {
    if (refuses_) return absl::UnavailableError("not reached");
    auto result = etcd_->Transact(transaction);
    if (!transaction.deletes.empty() && loses_removal_.exchange(false)) {
      return absl::UnavailableError("the answer was lost");
    }
    if (loses_.exchange(false)) return absl::UnavailableError("the answer was lost");
    return result;
  }
  absl::StatusOr<bool> AwaitChange(const std::string& prefix, int64_t revision,
                                   absl::Duration timeout) override {
    return etcd_->AwaitChange(prefix, revision, timeout);
  }
  absl::StatusOr<EtcdGrant> GrantLease(absl::Duration ttl) override {
    return etcd_->GrantLease(ttl);
  }
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t id, absl::Duration timeout) override {
    return etcd_->KeepLeaseAlive(id, timeout);
  }
  absl::Status RevokeLease(int64_t id) override { return etcd_->RevokeLease(id); }
  void Cancel() override { etcd_->Cancel(); }

 private:
  const std::unique_ptr<EtcdClient> etcd_;
  std::atomic<bool> loses_{false};
  std::atomic<bool> loses_removal_{false};
  std::atomic<bool> refuses_{false};
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_LOSSY_ETCD_H_
