#ifndef PARLEY_PS_SHARD_TABLE_H_
#define PARLEY_PS_SHARD_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "net/job.h"
#include "net/payload.h"
#include "proto/parameter_server.pb.h"
#include "ps/gradient.h"
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
  static absl::StatusOr<std::unique_ptr<ShardTable>> Create(const Job& job, int table, int shard,
                                                            size_t num_parts, int64_t version);

  const std::string& name() const { return layout_.name; }
  const TableLayout& layout() const { return layout_; }
  size_t num_parts() const { return parts_.size(); }
  // Whether the key belongs to this shard, and to which part then.
  bool Owns(uint64_t key) const { return PartOf(key) != kElsewhere; }
  size_t PartOf(uint64_t key) const {
    return part_of_[VirtualShardOf(MixKey(key), layout_.virtual_shards)];
  }

  // The keys by part. INVALID_ARGUMENT names a key that belongs to another shard, or how many are
  // too many. Errors have no prefix.
  absl::StatusOr<std::vector<PartKeys>> Split(const v1::TableRows& request) const;
  // The same with their gradients, which `payload` begins with, taken from it. INVALID_ARGUMENT
  // also when it is too short, or one is a NaN or an infinity.
  absl::StatusOr<std::shared_ptr<const RowGradients>> TakeGradients(const v1::TableRows& request,
                                                                    v1::DType dtype,
                                                                    PayloadReader* payload) const;

  // By the part's queue: one round after another. The mean of these gradients, in this order, is
  // applied; or none, and only the version goes up.
  void Apply(size_t part, absl::Span<const Gradient> gradients);
  // By the part's queue. Writes the rows to their places in `out`; returns the part's version.
  int64_t Gather(size_t part, const PartKeys& keys, v1::DType dtype, std::byte* out) const;

  // Bytes that the rows take, with all that belongs to them.
  int64_t memory() const { return memory_.load(std::memory_order_relaxed); }

  // Before the parts have queues: adds a row of this shard, row_bytes of the layout. False when it
  // is there.
  bool RestoreRow(uint64_t key, const std::byte* row);

  // For the part's queue.
  const TablePart& part(size_t part) const { return parts_[part].rows; }
  int64_t version(size_t part) const { return parts_[part].version; }

 private:
  struct Part {
    TablePart rows;
    int64_t version;  // rounds applied
  };

  // Runs `change` on the part and keeps count of its memory.
  template <typename Change>
  void ChangePart(TablePart* part, Change change);

  explicit ShardTable(TableLayout layout) : layout_(std::move(layout)) {}

  static constexpr uint16_t kElsewhere = 0xffff;

  const TableLayout layout_;
  std::vector<uint16_t> part_of_;  // by virtual shard; constant after construction
  std::vector<Part> parts_;
  std::atomic<int64_t> memory_{0};
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_TABLE_H_
