#include "net/etcd_lease.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

absl::Time Now() { return Env::Posix()->Now(); }

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdLease>> EtcdLease::Grant(
    std::shared_ptr<EtcdClient> client, absl::Duration ttl,
    std::function<void(const absl::Status&)> lost) {
  const absl::Time sent = Now();
  PARLEY_ASSIGN_OR_RETURN(const EtcdGrant grant, client->GrantLease(ttl));
  return std::unique_ptr<EtcdLease>(new EtcdLease(std::move(client), grant, sent, std::move(lost)));
}

EtcdLease::EtcdLease(std::shared_ptr<EtcdClient> client, EtcdGrant grant, absl::Time sent,
                     std::function<void(const absl::Status&)> lost)
    : client_(std::move(client)),
      id_(grant.id),
      ttl_(grant.ttl),
      lost_(std::move(lost)),
      held_until_(HeldUntil(sent, grant.ttl)),
      thread_([this] { KeepAlive(); }) {}

EtcdLease::~EtcdLease() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    closing_changed_.NotifyAll();
  }
  thread_.join();
  if (!IsHeld()) return;
  const absl::Status revoked = client_->RevokeLease(id_);
  if (!revoked.ok()) {
    LOG(WARNING) << revoked.message() << ": it ends by itself within "
                 << absl::FormatDuration(ttl_);
  }
}

bool EtcdLease::IsHeld() const { return status().ok(); }

absl::Status EtcdLease::status() const {
  MutexLock lock(&mutex_);
  return StatusLocked();
}

absl::Status EtcdLease::StatusLocked() const {
  if (lost_because_.ok() && Now() >= held_until_ &&
      !PARLEY_PLANTED_BUG("lease_held_past_its_end")) {
    lost_because_ = last_error_.ok()
                        ? absl::DeadlineExceededError("etcd: the lease was not renewed in time")
                        : Annotate(last_error_, "the lease was lost");
  }
  return lost_because_;
}

void EtcdLease::KeepAlive() {
  // Three attempts fit into a lease.
  absl::Duration pause = ttl_ / 3;
  absl::Status reason;
  for (;;) {
    {
      MutexLock lock(&mutex_);
      const absl::Time next = std::min(Now() + pause, held_until_);
      while (!closing_ && Now() < next) closing_changed_.WaitFor(&mutex_, next - Now());
      if (closing_) return;
      reason = StatusLocked();
      if (!reason.ok()) break;
    }
    const absl::Time sent = Now();
    const absl::StatusOr<absl::Duration> ttl = client_->KeepLeaseAlive(id_, ttl_ / 4);
    MutexLock lock(&mutex_);
    // An answer that comes after the lease was lost, by the clock, does not bring it back: somebody
    // may have been told.
    if (!StatusLocked().ok()) continue;
    if (ttl.ok()) {
      held_until_ = std::max(held_until_, HeldUntil(sent, *ttl));
      last_error_ = absl::OkStatus();
      pause = *ttl / 3;
    } else if (absl::IsNotFound(ttl.status())) {
      lost_because_ = ttl.status();
    } else {
      last_error_ = ttl.status();
      pause = ttl_ / 20;
    }
  }
  if (lost_) lost_(reason);
}

}  // namespace parley
