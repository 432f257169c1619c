#ifndef PARLEY_NET_ETCD_CLIENT_H_
#define PARLEY_NET_ETCD_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace parley {

struct EtcdClientOptions {
  // The longest a call may take, over all endpoints.
  absl::Duration timeout = absl::Seconds(5);
};

// One key, as it stands.
struct EtcdEntry {
  std::string key;
  std::string value;
  int64_t create_revision = 0;  // of the store, when the key came into being; see EtcdCondition
  int64_t mod_revision = 0;     // when it was written last
  int64_t lease = 0;            // the key goes when this lease ends; 0: it stays
};

struct EtcdRange {
  std::vector<EtcdEntry> entries;  // by key, ascending
  int64_t revision = 0;            // of the whole store, when it was read
};

// What a transaction is done under. A key that does not exist has revision 0.
struct EtcdCondition {
  enum class Of { kCreateRevision, kModRevision };
  std::string key;
  Of of = Of::kModRevision;
  int64_t revision = 0;
};

struct EtcdWrite {
  std::string key;
  std::string value;
  int64_t lease = 0;
};

struct EtcdTransaction {
  std::vector<EtcdCondition> conditions;  // all must hold
  std::vector<EtcdWrite> puts;
  std::vector<std::string> deletes;
};

struct EtcdTransactionResult {
  bool done = false;     // the conditions held; nothing was written otherwise
  int64_t revision = 0;  // of the whole store; the mod_revision of what was put
};

struct EtcdGrant {
  int64_t id = 0;
  absl::Duration ttl;  // what etcd gave, which may be longer than what was asked for
};

// An EtcdClient talks to an etcd cluster by etcd's own gRPC API, version 3 (net/etcd.proto). It is
// connected when it is first used, and again when a connection was lost.
//
// Each call blocks, at most for the options' timeout. An endpoint that is not reached or does not
// answer is followed by the next, and later calls begin with the one that answered. A Transact is
// sent to one endpoint only, for its conditions may hold no more when it is done twice: the first
// that is connected.
//
// Errors begin "etcd at <endpoint>: " and name the call and the key:
//   UNAVAILABLE        nobody reached, or lost before the answer. Whether a write was done is not
//                      known.
//   DEADLINE_EXCEEDED  silent, likewise
//   others             what etcd answered, such as NOT_FOUND for a lease that has ended
// Thread safety: safe from any thread. Cancel ends what other threads wait for.
class EtcdClient {
 public:
  // `endpoints`: "host:port,host:port". INVALID_ARGUMENT when it is not. Connects to nobody.
  static absl::StatusOr<std::unique_ptr<EtcdClient>> Create(const std::string& endpoints,
                                                            EtcdClientOptions options = {});
  virtual ~EtcdClient() = default;
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  // The keys that begin with `prefix`, not empty; or the one key, an empty range when there is
  // none.
  virtual absl::StatusOr<EtcdRange> List(const std::string& prefix) = 0;
  virtual absl::StatusOr<EtcdRange> Get(const std::string& key) = 0;

  // Writes, whatever was there.
  virtual absl::Status Put(const EtcdWrite& write) = 0;
  // Returns how many keys there were.
  virtual absl::StatusOr<int64_t> Delete(const std::string& key) = 0;
  virtual absl::StatusOr<int64_t> DeletePrefix(const std::string& prefix) = 0;

  // All or nothing, at one moment.
  virtual absl::StatusOr<EtcdTransactionResult> Transact(const EtcdTransaction& transaction) = 0;

  // Waits until a key that begins with `prefix` was written or has gone at a revision above
  // `revision` (EtcdRange::revision: no change is missed), for at most `timeout`, which may be
  // longer than the options'. Returns whether one was. OUT_OF_RANGE when etcd no longer knows what
  // happened then: List again.
  virtual absl::StatusOr<bool> AwaitChange(const std::string& prefix, int64_t revision,
                                           absl::Duration timeout) = 0;

  // A lease of at least `ttl`, in whole seconds. etcd has a shortest of its own: 2 s by default.
  // EtcdLease (net/etcd_lease.h) holds one.
  virtual absl::StatusOr<EtcdGrant> GrantLease(absl::Duration ttl) = 0;
  // From now on it lasts for what is returned. NOT_FOUND when it has ended.
  virtual absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t id, absl::Duration timeout) = 0;
  // Ends it: its keys go.
  virtual absl::Status RevokeLease(int64_t id) = 0;

  // Ends all calls, those of the future too, with CANCELLED.
  virtual void Cancel() = 0;

 protected:
  EtcdClient() = default;
};

}  // namespace parley

#endif  // PARLEY_NET_ETCD_CLIENT_H_
