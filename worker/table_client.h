#ifndef PARLEY_WORKER_TABLE_CLIENT_H_
#define PARLEY_WORKER_TABLE_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "net/job.h"
#include "net/payload.h"
#include "net/shared_arena.h"
#include "worker/row_cache.h"
#include "worker/session.h"
#include "worker/timer.h"

namespace parley {

struct TableClientOptions {
  std::string task;  // "worker:1", for the messages of errors
  absl::Duration timeout;
  size_t request_bytes;                // as in ClientOptions, as are the others
  std::shared_ptr<SharedArena> arena;  // null: ordinary memory
  v1::DType push_dtype;                // net/row_wire.h
  v1::DType pull_dtype;
  RowCacheOptions row_cache;
};

// The pushes and pulls of rows of a client: finds the distinct keys of each call, adds up the
// gradients of those that come more than once, in their order, deals them out to the shards that
// own them, and puts the answers in the order in which they were asked for. Rows that a RowCache
// has are not asked for.
//
// Thread safety: safe from any thread. The caller outlives its calls, and with the destructor waits
// until they have ended: the sessions are closed before, and the timer is stopped after it.
class TableClient {
 public:
  // `job` must live as long as this. `sessions` by shard.
  TableClient(const Job* job, TableClientOptions options,
              std::vector<std::shared_ptr<Session>> sessions, std::shared_ptr<Timer> timer);
  ~TableClient();
  TableClient(const TableClient&) = delete;
  TableClient& operator=(const TableClient&) = delete;

  // See Client::PullRowsAsync and PushRowsAsync. With an error in `usable` nothing is begun, and
  // that is the answer.
  std::future<absl::Status> Pull(const absl::Status& usable, int table, int64_t step,
                                 absl::Span<const uint64_t> keys, absl::Span<float> rows);
  std::future<absl::Status> Push(const absl::Status& usable, int table, int64_t step,
                                 absl::Span<const uint64_t> keys,
                                 absl::Span<const float> gradients);

  // Over all tables.
  RowCache::Counts row_cache() const;

 private:
  struct State;
  struct PullPlan;
  // What a table's requests need to know of it.
  struct Table {
    size_t width;
    uint32_t virtual_shards;
    std::vector<uint16_t> shard_of;   // by virtual shard
    std::shared_ptr<RowCache> cache;  // null: none
  };

  // INVALID_ARGUMENT names what is wrong with a call.
  absl::Status CheckCall(int table, int64_t step, size_t keys, size_t floats) const;
  int ShardOf(const Table& table, uint64_t key) const;
  v1::PushPullRequest NewRequest(int64_t step) const;
  // Not initialised; in the arena where there is one. Of a size that others of about as much can
  // have again.
  std::shared_ptr<std::byte> NewBytes(size_t bytes) const;
  // Counts the call, which ends when `requests` have; `ready` runs then.
  struct Call {
    uint64_t id;
    Timer::Time deadline;
    std::shared_ptr<class Operation> operation;
  };
  Call Begin(int requests, const std::string& name, const std::vector<int>& shards,
             absl::AnyInvocable<void(absl::Status)> ready);

  const Job& job_;
  const TableClientOptions options_;
  const std::vector<std::shared_ptr<Session>> sessions_;
  const std::shared_ptr<Timer> timer_;
  const std::shared_ptr<State> state_;
  std::vector<Table> tables_;  // constant after construction
};

}  // namespace parley

#endif  // PARLEY_WORKER_TABLE_CLIENT_H_
