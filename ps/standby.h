#ifndef PARLEY_PS_STANDBY_H_
#define PARLEY_PS_STANDBY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "base/env.h"
#include "base/mutex.h"
#include "net/parameter_server.h"
#include "net/shared_arena.h"
#include "ps/optimizer_registry.h"
#include "ps/shard_copy.h"
#include "ps/task_thread.h"

namespace parley {

// A Standby keeps copies of other tasks' shards: it takes the changes that each of them sends
// before acknowledging them (ps/replica_sink.h), and gives the copy back when the task is started
// again. While a copy is filled anew, the one before it stays, so that there is one at any moment.
//
// Who speaks for a shard is known by a term: FetchReplica and Release make a higher one, and nobody
// with a lower one is heard from then on.
//
// Thread safety: safe from any thread. Threads: one, which owns the copies and answers.
class Standby {
 public:
  struct Options {
    std::string task;    // "ps:1", for messages
    uint64_t start = 0;  // random: which start of the task; see ReplicateResponse
    OptimizerRegistry optimizers;
    // Where the values of the copies stand, for who takes them over. Null: anywhere.
    std::shared_ptr<SharedArena> arena;
    int64_t memory_limit = 0;  // bytes of a copy; 0: the machine's memory
    // What ShardOptions has of tables, for who takes the copies over: as many parts as the shard
    // has threads, and where rows go that have no room.
    size_t table_parts = 1;
    std::string spill_folder;
    Env* env = Env::Posix();  // the clock
  };

  explicit Standby(Options options);
  ~Standby();

  void Replicate(v1::ReplicateRequest request, Payload payload,
                 ParameterServer::Done<v1::ReplicateResponse> done);
  void FetchReplica(v1::FetchReplicaRequest request,
                    ParameterServer::Done<ParameterServer::FetchReplicaReply> done);

  // From now on no record of `shard` is taken, until Thaw or Release. False, and no change: there
  // is no whole copy of `term`, nor of the one before, which one who handed the shard over has.
  bool Freeze(int shard, uint64_t term);
  void Thaw(int shard);
  // Gives the copy away, if there is a whole one; nobody with a term below `term` is heard any
  // more. The shard needs this task until Forget, of which the caller says when.
  absl::optional<ShardCopy> Release(int shard, uint64_t term);
  void Forget(int shard);
  // Drops what it has of a term up to `term`.
  void Discard(int shard, uint64_t term);

  // Whether no shard needs it any more: of each whose copy it has, every worker has left, or
  // nothing was heard for `silence`.
  bool IsDone(absl::Duration silence) const;

 private:
  struct Copy;
  struct Kept {
    Kept();
    ~Kept();
    uint64_t term = 0;
    bool frozen = false;
    std::unique_ptr<Copy> whole;
    std::unique_ptr<Copy> filling;
  };

  // Runs `task` on the thread, and waits.
  void RunOnThread(absl::AnyInvocable<void()> task);
  absl::StatusOr<v1::ReplicateResponse> Take(const v1::ReplicateRequest& request,
                                             const Payload& payload);
  absl::Status TakeRecords(const v1::ReplicateRequest& request, const Payload& payload,
                           Copy* copy) const;
  absl::Status TakeRecord(const v1::LogRecord& record, const Payload& payload, Copy* copy) const;
  int64_t MemoryLimit() const;
  // The next rows of part `index` of the copy, a part of a table.
  absl::Status GiveRows(const v1::FetchReplicaRequest& request, size_t index, Copy* copy,
                        ParameterServer::FetchReplicaReply* reply) const;
  // Whether there is a copy already that begins as the request says; then it is the request's.
  bool Adopt(const v1::ReplicateRequest& request, Kept* kept) const;
  // Of the request's stream.
  v1::ReplicateResponse Drop(const v1::ReplicateRequest& request, Kept* kept);
  absl::StatusOr<std::unique_ptr<Copy>> BeginCopy(const v1::ReplicateRequest& request) const;
  absl::StatusOr<ParameterServer::FetchReplicaReply> Give(const v1::FetchReplicaRequest& request);

  const Options options_;
  std::map<int, Kept> kept_;  // by shard; the thread's

  struct Seen {
    absl::Time last_heard;
    bool all_left = false;
  };
  mutable Mutex mutex_;
  std::map<int, Seen> seen_ ABSL_GUARDED_BY(mutex_);  // by shard

  std::unique_ptr<TaskThread> thread_;
};

}  // namespace parley

#endif  // PARLEY_PS_STANDBY_H_
