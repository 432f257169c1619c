#ifndef PARLEY_PS_SHARD_TABLE_H_
#define PARLEY_PS_SHARD_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "net/job.h"
#include "net/payload.h"
#include "proto/parameter_server.pb.h"
#include "ps/gradient.h"
#include "ps/table/row_spill.h"
#include "ps/table/spilled_rows.h"
#include "ps/table/table_layout.h"
#include "ps/table/table_part.h"

namespace parley {

// The keys of a request, dealt out to the parts of a ShardTable.
struct PartKeys {
  std::vector<uint64_t> keys;
  std::vector<uint32_t> places;  // of each, in the request
};

// A worker's gradients of rows, as they came: what a Gradient has for a table.
struct RowGradients {
  std::vector<PartKeys> parts;
  std::shared_ptr<const float> rows;  // in the order of the request's keys
};

// A ShardTable is what a shard has of one table: as many parts as the shard has owner threads. A
// part has a queue of tasks, which alone read and write it, one at a time.
//
// Thread safety: what is said to be by a part's queue belongs to that; the rest is safe from any
// thread.
class ShardTable {
 public:
  // Keys of a list at most.
  static constexpr int kMaxKeys = 1 << 20;

  // The part of table `table` of `job` that belongs to `shard`, without rows, at `version`.
  // With a memory_limit in its spec, rows that go beyond it are spilled to files in
  // `spill_folder`; FAILED_PRECONDITION where that is empty.
  static absl::StatusOr<std::unique_ptr<ShardTable>> Create(const Job& job, int table, int shard,
                                                            size_t num_parts, int64_t version,
                                                            const std::string& spill_folder);

  const std::string& name() const { return layout_.name; }
  const TableLayout& layout() const { return layout_; }
  size_t num_parts() const { return parts_.size(); }
  // Whether the key belongs to this shard, and to which part then.
  bool Owns(uint64_t key) const { return PartOf(key) != kElsewhere; }
  size_t PartOf(uint64_t key) const { return part_of_[VirtualShardOfKey(key)]; }
  uint32_t VirtualShardOfKey(uint64_t key) const {
    return VirtualShardOf(MixKey(key), layout_.virtual_shards);
  }
  // Likewise of a virtual shard, of any number.
  bool OwnsVirtualShard(uint32_t number) const {
    return number < part_of_.size() && part_of_[number] != kElsewhere;
  }

  // The keys by part. INVALID_ARGUMENT names a key that belongs to another shard, or how many are
  // too many. Errors have no prefix.
  absl::StatusOr<std::vector<PartKeys>> Split(const v1::TableRows& request) const;
  // The same with their gradients, which `payload` begins with, taken from it. INVALID_ARGUMENT
  // also when it is too short, or one is a NaN or an infinity.
  absl::StatusOr<std::shared_ptr<const RowGradients>> TakeGradients(const v1::TableRows& request,
                                                                    v1::DType dtype,
                                                                    PayloadReader* payload) const;

  // Why the table is of no use any more: its rows on the disk could not be read or written. Pushes
  // and pulls are refused with it from then on.
  absl::Status health() const;

  // By the part's queue: one round after another. The mean of these gradients, in this order, is
  // applied; or none, and only the version goes up.
  void Apply(size_t part, absl::Span<const Gradient> gradients);
  // By the part's queue. Writes the rows to their places in `out`; returns the part's version.
  // With an error in health() they are not what they should be.
  int64_t Gather(size_t part, const PartKeys& keys, v1::DType dtype, std::byte* out);

  // By the part's queue, behind Apply of these gradients: the sum modulo 2^32, over all of their
  // keys that have a row, of the CRC32C of key and row. Sums of parts add up, however many there
  // are. Not where rows are spilled.
  uint32_t Digest(size_t part, absl::Span<const Gradient> gradients) const;

  // Bytes that the rows take, with all that belongs to them.
  int64_t memory() const { return memory_.load(std::memory_order_relaxed); }

  // Before the parts have queues: adds a row of this shard, row_bytes of the layout. False when it
  // is there. The error is that of a disk.
  absl::StatusOr<bool> RestoreRow(uint64_t key, const std::byte* row);

  // Likewise: how many rounds have named a key that has no row and is not there yet
  // (TableSpec.admit_after_rounds, which is above 1).
  void RestoreSighting(uint64_t key, uint32_t count);

  // For the part's queue.
  int64_t version(size_t part) const { return parts_[part].version; }
  const std::vector<uint32_t>& virtual_shards(size_t part) const {
    return parts_[part].rows.virtual_shards();
  }
  // All rows of one of them, their keys ascending.
  absl::Status ForEachRow(size_t part, uint32_t virtual_shard,
                          absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const;
  // Of a virtual shard's keys that have no row, in no order.
  void ForEachSighting(size_t part, uint32_t virtual_shard,
                       absl::FunctionRef<void(uint64_t key, uint32_t count)> visit) const {
    parts_[part].rows.ForEachSighting(virtual_shard, visit);
  }
  // Which rows are updated from now on; those, likewise.
  void TrackChanges(size_t part, bool on);
  absl::Status ForEachChangedRow(size_t part, uint32_t virtual_shard,
                                 absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit);
  // Where rows go that there is no memory for; empty when there is for all.
  const std::string& spill_folder() const { return spill_folder_; }

 private:
  struct Part {
    size_t memory() const { return rows.memory() + (spilled == nullptr ? 0 : spilled->memory()); }

    TablePart rows;
    int64_t version;                       // rounds applied
    std::unique_ptr<RowSpill> spill;       // null: all rows are in memory
    std::unique_ptr<SpilledRows> spilled;  // likewise
  };

  // Runs `change` on the part, keeps count of its memory, and of an error.
  template <typename Change>
  absl::Status ChangePart(Part* part, Change change);

  explicit ShardTable(TableLayout layout) : layout_(std::move(layout)) {}

  static constexpr uint16_t kElsewhere = 0xffff;

  const TableLayout layout_;
  std::string spill_folder_;       // constant after construction
  std::vector<uint16_t> part_of_;  // by virtual shard; constant after construction
  std::vector<Part> parts_;
  std::atomic<int64_t> memory_{0};
  std::atomic<bool> failed_{false};
  mutable Mutex mutex_;
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_TABLE_H_
