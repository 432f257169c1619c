#ifndef PARLEY_NET_ETCD_LEASE_H_
#define PARLEY_NET_ETCD_LEASE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "net/etcd_client.h"

namespace parley {

// An EtcdLease is a lease of etcd's, kept alive on a thread of its own from Grant until it is lost
// or destroyed. Keys that were written under id() stay that long.
//
// It says that it is lost before etcd can end it, even when etcd is not reached or this process was
// stopped for a while: a lease lasts, by the steady clock, for nine tenths of its time to live from
// when the request that renewed it was *sent*, and once lost it is never held again. So who acts
// only while IsHeld() acts alone, as long as the clocks of this host and etcd's run equally fast to
// one part in ten; a host that sleeps stops its clock, and must not be one of them.
//
// Thread safety: safe from any thread, the destructor not from `lost`.
class EtcdLease {
 public:
  // A lease of `ttl` or what etcd allows above it. `lost`, if not empty, is called once, on the
  // lease's thread, with the reason, when it is lost. Errors: of EtcdClient::GrantLease.
  static absl::StatusOr<std::unique_ptr<EtcdLease>> Grant(
      std::shared_ptr<EtcdClient> client, absl::Duration ttl,
      std::function<void(const absl::Status&)> lost = nullptr);

  // Ends the lease, and so its keys, where etcd can be reached. Takes at most the client's timeout
  // and a quarter of the lease.
  ~EtcdLease();
  EtcdLease(const EtcdLease&) = delete;
  EtcdLease& operator=(const EtcdLease&) = delete;

  int64_t id() const { return id_; }
  absl::Duration ttl() const { return ttl_; }

  bool IsHeld() const;
  // OK while it is held; then why it was lost, for good.
  absl::Status status() const;

 private:
  EtcdLease(std::shared_ptr<EtcdClient> client, EtcdGrant grant, absl::Time sent,
            std::function<void(const absl::Status&)> lost);
  void KeepAlive();
  absl::Time HeldUntil(absl::Time sent, absl::Duration ttl) const { return sent + ttl * 0.9; }
  absl::Status StatusLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<EtcdClient> client_;
  const int64_t id_;
  const absl::Duration ttl_;
  const std::function<void(const absl::Status&)> lost_;

  mutable Mutex mutex_;
  CondVar closing_changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time held_until_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_error_ ABSL_GUARDED_BY(mutex_);            // of keeping it alive
  mutable absl::Status lost_because_ ABSL_GUARDED_BY(mutex_);  // once lost
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_NET_ETCD_LEASE_H_
