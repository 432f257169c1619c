#ifndef PARLEY_NET_SHARD_RECORDS_H_
#define PARLEY_NET_SHARD_RECORDS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "net/etcd_client.h"

namespace parley {

// What etcd knows of who speaks for a job's shards ("Who speaks for a shard" in
// docs/architecture.md): for each shard two keys,
//   /parley/<job>/shard/<index>/leader   ShardLeader, under the leader's lease
//   /parley/<job>/shard/<index>/copies   ShardCopies
// and, once an operator has said so, how many ps tasks there are to be:
//   /parley/<job>/ps_tasks               a number
// and where those are that are there, under a lease of each (net/discovery.h), and which of them
// are about to go, likewise:
//   /parley/<job>/ps/<index>             host:port
//   /parley/<job>/leaving/<index>        which start of it

// One start of a ps task.
struct TaskStart {
  int task = -1;
  uint64_t start = 0;  // random
  bool operator==(const TaskStart& other) const {
    return task == other.task && start == other.start;
  }
  bool operator!=(const TaskStart& other) const { return !(*this == other); }
};

// How many shards a job has, and how many ps tasks it began with; 0: not said.
struct JobSize {
  int shards = 0;
  int tasks = 0;
  bool operator==(const JobSize& other) const {
    return shards == other.shards && tasks == other.tasks;
  }
};

// Where workers find the shard.
struct ShardLeader {
  std::string address;  // "host:port"
  uint64_t term = 0;
  TaskStart who;
  JobSize size;              // so that who comes later knows
  int64_t mod_revision = 0;  // of the key
  int64_t lease = 0;
};

// Who may change it, and who goes on when he dies.
struct ShardCopies {
  uint64_t term = 0;  // one higher for each leader
  TaskStart leader;
  absl::optional<TaskStart> copy;  // that is in sync
  // The leader hands the shard over, and has a copy of its own that is in sync: until who takes
  // over has another, it is that one's copy.
  bool leader_keeps = false;
  int64_t mod_revision = 0;  // of the key: the fence
};

struct ShardRecords {
  absl::optional<ShardLeader> leader;
  absl::optional<ShardCopies> copies;
};

// How many ps tasks there are to be, as an operator said.
struct PsTasks {
  int tasks = 0;
  int64_t mod_revision = 0;  // of the key
};

// A ps task that is there.
struct PresentTask {
  std::string address;  // "host:port"
  int64_t create_revision = 0;
  uint64_t leaving = 0;  // the start of it that hands over what it has and goes; 0: none
};

// More no job has.
constexpr int kMostShards = 1 << 16;

std::string JobFolder(const std::string& job);    // of all that is here
std::string TaskFolder(const std::string& job);   // of those that are there
std::string ShardFolder(const std::string& job);  // of all shards
std::string ShardFolder(const std::string& job, int shard);
std::string LeaderKey(const std::string& job, int shard);
std::string CopiesKey(const std::string& job, int shard);
std::string PsTasksKey(const std::string& job);
std::string LeavingKey(const std::string& job, int task);

// The keys' values: words with a space between.
std::string FormatLeader(const ShardLeader& leader);  // host:port term task start [shards tasks]
std::string FormatCopies(const ShardCopies& copies);  // term task start [task start [kept]]
// DATA_LOSS for what is none; the message has the text.
absl::StatusOr<ShardLeader> ParseLeader(absl::string_view text);
absl::StatusOr<ShardCopies> ParseCopies(absl::string_view text);

struct AllShardRecords {
  std::vector<ShardRecords> shards;  // by index
  absl::optional<PsTasks> ps_tasks;
  std::map<int, PresentTask> tasks;  // by index
  int64_t revision = 0;              // of etcd's store: see EtcdClient::AwaitChange

  // As the leaders say; {}: nobody leads, or nobody says.
  JobSize size() const;
};

// Those of shards 0 to `count` - 1, or of all that have any where that is -1, at one moment.
// Errors: of EtcdClient::List; DATA_LOSS, which names the key, where somebody else has written.
absl::StatusOr<AllShardRecords> ReadShardRecords(EtcdClient* etcd, const std::string& job,
                                                 int count);
absl::StatusOr<ShardRecords> ReadShardRecordsOf(EtcdClient* etcd, const std::string& job,
                                                int shard);

}  // namespace parley

#endif  // PARLEY_NET_SHARD_RECORDS_H_
