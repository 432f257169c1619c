#ifndef PARLEY_NET_SHARD_LEADERSHIP_H_
#define PARLEY_NET_SHARD_LEADERSHIP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/mutex.h"
#include "net/etcd_client.h"
#include "net/etcd_lease.h"
#include "net/shard_records.h"

namespace parley {

// A ShardLeadership is a ps task's right to speak for a shard, as etcd has it ("Who speaks for a
// shard" in docs/architecture.md).
//
// Invariants: (1) All that it writes is under the condition that ShardCopies is as this leader
//                 wrote it last; so nothing, once another task has taken the shard.
//             (2) MaySpeak() is true only while the leader key is under a lease that is held.
//
// Thread safety: safe from any thread. Calls but MaySpeak, term and End block, as EtcdClient's.
class ShardLeadership {
 public:
  struct Options {
    std::shared_ptr<EtcdClient> etcd;
    std::string job;
    int shard = 0;
    TaskStart self;
    std::string address;  // of this task, "host:port"
    JobSize size;
  };

  // Makes this task the shard's leader, if the shard's records are as `seen`, of a higher term, and
  // with no copy but that of one who hands it over. FAILED_PRECONDITION: they are not, and nothing
  // was written. UNAVAILABLE and DEADLINE_EXCEEDED: it may have been written, or still be; records
  // that are read later tell.
  static absl::StatusOr<std::shared_ptr<ShardLeadership>> Take(Options options,
                                                               const ShardRecords& seen,
                                                               std::shared_ptr<EtcdLease> lease);
  // The one that a Take made whose answer was lost: `seen` names this start as the leader.
  static absl::StatusOr<std::shared_ptr<ShardLeadership>> Found(Options options,
                                                                const ShardRecords& seen,
                                                                std::shared_ptr<EtcdLease> lease);

  uint64_t term() const { return term_; }

  // Whether it may answer anybody now.
  bool MaySpeak() const;

  // Has the leader key under `lease`, where workers look. ABORTED: another task is the leader.
  absl::Status Hold(std::shared_ptr<EtcdLease> lease);

  // Says in etcd which task has a copy that is in sync; none: nobody. OK: etcd says so from now on.
  // ABORTED: another task is the leader. Others: etcd may say so or not; try again.
  absl::Status SetCopy(const absl::optional<TaskStart>& copy);

  // From now on, until Hold, this task does not speak for the shard.
  void FallSilent();
  // After that, with a copy of its own that has all that was acknowledged: has etcd say that whose
  // copy is in sync, task `to`, may take over, and has this task's then for a copy. Until it has
  // Hold takes it back. FAILED_PRECONDITION: it is another task's copy that is in sync. ABORTED:
  // another task is the leader. Others: etcd may say so or not.
  absl::Status HandOver(int to);

  // Of etcd's store, when it last wrote ShardCopies: what was read before is of the past.
  int64_t revision() const;

  // Which task etcd said last has a copy.
  absl::optional<TaskStart> copy() const;

  // From now on it may not speak.
  void End();
  // The shard's job is done: nothing of this term is left in etcd. Tries a few times.
  absl::Status Remove();

 private:
  ShardLeadership(Options options, ShardCopies copies);
  absl::Status Superseded(const ShardCopies& by) const;
  absl::Status Write(const EtcdTransaction& write, ShardCopies next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(etcd_mutex_);
  // Reads copies_ again, after a transaction of which it is not known whether it was done.
  absl::Status Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(etcd_mutex_);
  ShardLeader Leader() const;

  const Options options_;
  const uint64_t term_;

  // Held over calls of etcd; before mutex_.
  Mutex etcd_mutex_;
  mutable Mutex mutex_;
  ShardCopies copies_ ABSL_GUARDED_BY(mutex_);      // written under both
  bool known_ ABSL_GUARDED_BY(etcd_mutex_) = true;  // whether copies_ is what etcd has
  std::shared_ptr<EtcdLease> lease_
      ABSL_GUARDED_BY(mutex_);  // of the leader key; null: it has none
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool silent_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace parley

#endif  // PARLEY_NET_SHARD_LEADERSHIP_H_
