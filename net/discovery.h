#ifndef PARLEY_NET_DISCOVERY_H_
#define PARLEY_NET_DISCOVERY_H_

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "net/etcd_client.h"
#include "net/etcd_lease.h"
#include "net/shard_records.h"

namespace parley {

// How tasks find each other in etcd: a ps task keeps its address under the key
//   /parley/<job>/ps/<index>
// as long as it lives, and the others look there; for shard <index>, where tasks may speak for
// others' shards, under that of its leader (net/shard_records.h).

// INVALID_ARGUMENT for a job's name that cannot be part of a key: empty, or with a slash.
absl::Status CheckJobKey(const std::string& job);

// How long a task that starts waits for an etcd that it has never reached: one may be starting,
// too, but the address may also be wrong.
constexpr absl::Duration kEtcdPatience = absl::Seconds(10);

// Where the shards 0 to `count` - 1 of `job` are, "host:port", by index: waits until a task of each
// has said so, for at most `timeout`. Where tasks say in etcd that the job has another number of
// shards, that many; or, when there are to be `exactly` as many, FAILED_PRECONDITION.
// DEADLINE_EXCEEDED names those of which none has; UNAVAILABLE when etcd was not reached within the
// first `etcd_patience`, or at the end.
absl::StatusOr<std::vector<std::string>> FindShards(EtcdClient* etcd, const std::string& job,
                                                    int count, absl::Duration timeout,
                                                    absl::Duration etcd_patience = kEtcdPatience,
                                                    bool exactly = false);

// How many shards `job` has and how many tasks it began with, where its shards' leaders say so in
// etcd; {} where nobody does. Waits for etcd, up to `etcd_patience`. Errors: of ReadShardRecords.
absl::StatusOr<JobSize> FindJobSize(EtcdClient* etcd, const std::string& job,
                                    absl::Duration etcd_patience = kEtcdPatience);

// Where shard `index` is now; NOT_FOUND when its task has not said so, or is gone. With `known`, an
// address, waits up to `wait` for another one.
absl::StatusOr<std::string> FindShard(EtcdClient* etcd, const std::string& job, int index,
                                      const std::string& known = "",
                                      absl::Duration wait = absl::ZeroDuration());

// The ps tasks that are there: "host:port" by index.
absl::StatusOr<std::map<int, std::string>> ListTasks(EtcdClient* etcd, const std::string& job);

// A ShardRegistration keeps a ps task's address in etcd, from Register until it is destroyed: under
// a lease, so that the address goes soon after the task does. When the lease is lost, because etcd
// was not reached for too long, it registers again; the task serves on meanwhile. Thread safety:
// safe from any thread.
class ShardRegistration {
 public:
  // After this, at most and about, the address of a task that died is gone.
  static constexpr absl::Duration kLease = absl::Seconds(3);

  // Waits for etcd, up to `etcd_patience`, and for the address of a dead task with this index to
  // go. ALREADY_EXISTS when it does not, for then that task lives; the message names the task and
  // its address.
  static absl::StatusOr<std::unique_ptr<ShardRegistration>> Register(
      std::shared_ptr<EtcdClient> etcd, const std::string& job, int index,
      const std::string& address, absl::Duration etcd_patience = kEtcdPatience);

  // Takes the address away.
  ~ShardRegistration();
  ShardRegistration(const ShardRegistration&) = delete;
  ShardRegistration& operator=(const ShardRegistration&) = delete;

  // OK, or ALREADY_EXISTS, for good, when another task has taken the place while the lease was
  // lost.
  absl::Status status() const;

 private:
  ShardRegistration(std::shared_ptr<EtcdClient> etcd, const std::string& job, int index,
                    const std::string& address);
  absl::Status NewLease();
  absl::Status EnterFirst(absl::Duration etcd_patience);
  // One attempt to have the key; the time that another's address is waited for is `patience`.
  absl::Status Enter(absl::Duration patience);
  void Stay();

  const std::shared_ptr<EtcdClient> etcd_;
  const std::string who_;  // "ps:0 of job parley"
  const std::string key_;
  const std::string address_;
  std::unique_ptr<EtcdLease> lease_;  // of the thread, once it runs

  mutable Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_NET_DISCOVERY_H_
