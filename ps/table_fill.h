#ifndef PARLEY_PS_TABLE_FILL_H_
#define PARLEY_PS_TABLE_FILL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "ps/record_sink.h"
#include "ps/shard_table.h"
#include "ps/task_pool.h"

namespace parley {

// A TableFill sends the rows of a shard's tables to who makes a copy of the shard, while rounds go
// on: some virtual shards at a time, each part by its queue, and the next ones when what was sent
// is needed no more. So it takes the memory of a few pieces for each part, however large the
// tables are and however slow the way is.
//
// Invariant: the state of a virtual shard at round v is appended behind the record of round v of
// its table and before that of round v + 1. Parts of a table are at different rounds; a part that
// is ahead has its pieces wait for the record.
//
// Thread safety: safe from any thread. The queues' pool must outlive Stop, their tasks may run
// until they are destroyed; who holds what was appended may let it go at any time.
class TableFill {
 public:
  struct Table {
    const ShardTable* table;
    uint32_t block;  // in the job
  };

  // All tables have as many parts as there are `queues`, each its part's.
  TableFill(std::vector<Table> tables, std::vector<TaskQueue*> queues,
            absl::AnyInvocable<void(std::vector<ShardRecord>)> append);
  // After Stop.
  ~TableFill();

  // Every virtual shard will be appended once from now on, at least. May be called again at any
  // time: what was begun before goes on.
  void Begin();
  // The record of this round was appended, by the queue that calls this: the last one of the parts
  // to have the round.
  void Recorded(size_t table, int64_t version);
  // Nothing is posted any more when it returns.
  void Stop();

 private:
  struct Part {
    size_t table = 0;  // of the next virtual shard
    size_t next = 0;   // its index
    size_t count = 0;  // of virtual shards, of all tables
    size_t left = 0;   // of these that are to be sent yet
    int pieces = 0;    // that somebody holds, or that a task is posted for
  };
  struct Waiting {
    int64_t version;
    std::vector<ShardRecord> records;
  };
  struct Shared;
  class Ticket;

  void SendPiece(size_t part);

  const std::vector<Table> tables_;
  const std::vector<TaskQueue*> queues_;
  absl::AnyInvocable<void(std::vector<ShardRecord>)> append_;
  const std::shared_ptr<Shared> shared_;  // with those who hold pieces
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_FILL_H_
