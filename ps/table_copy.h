#ifndef PARLEY_PS_TABLE_COPY_H_
#define PARLEY_PS_TABLE_COPY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/job.h"
#include "net/payload.h"
#include "proto/log.pb.h"
#include "ps/shard_table.h"

namespace parley {

// Makes tables again what they were, from what a shard wrote down of them (proto/log.proto), to the
// bit.

// Applies the table's next round; of its rows those whose virtual shards are true in `there`, or,
// where that is null, all of them. DATA_LOSS, and no change, when it is not the next or has not the
// rows that it says; DATA_LOSS, too, when rows then are not what the shard's were
// (Round.state_crc32c). Before the parts have queues.
absl::Status ReplayTableRound(const v1::LogRecord::Round& round, const Payload& payload,
                              ShardTable* table, const std::vector<bool>* there = nullptr);

// A TableCopy is a table of a shard that is made from its state (ps/table_state.h), virtual shard
// by virtual shard, among its rounds. Thread safety: none. Owns the table until Release.
class TableCopy {
 public:
  // Without rows, at `version`; see ShardTable::Create.
  static absl::StatusOr<std::unique_ptr<TableCopy>> Create(const Job& job, int table, int shard,
                                                           size_t num_parts, int64_t version,
                                                           const std::string& spill_folder);

  // Adds rows, which must be of this version. Virtual shards that are there already are passed
  // over. DATA_LOSS: the state is none of this table, now; what it then holds is of no use.
  absl::Status TakeState(const v1::LogRecord::TableState& state, const Payload& payload);
  // See ReplayTableRound.
  absl::Status TakeRound(const v1::LogRecord::Round& round, const Payload& payload);

  bool IsWhole() const { return missing_ == 0; }
  int64_t version() const { return table_->version(0); }
  const ShardTable& table() const { return *table_; }
  std::unique_ptr<ShardTable> Release() { return std::move(table_); }

 private:
  explicit TableCopy(std::unique_ptr<ShardTable> table);

  // The rows and counts of one virtual shard that `reader` begins with.
  absl::Status TakePiece(const v1::LogRecord::TableState::VirtualShard& piece,
                         PayloadReader* reader);
  absl::Status Fault(absl::string_view what) const;

  std::unique_ptr<ShardTable> table_;
  std::vector<bool> there_;  // by virtual shard
  size_t missing_ = 0;       // of those that the shard has
  int64_t going_on_ = -1;    // the virtual shard that the next record goes on with; -1: none
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_COPY_H_
