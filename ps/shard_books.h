#ifndef PARLEY_PS_SHARD_BOOKS_H_
#define PARLEY_PS_SHARD_BOOKS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/job.h"
#include "net/worker_counts.h"
#include "proto/log.pb.h"

namespace parley {

// What a shard must know, besides values and slots, to go on where another left off: who is in the
// job, and which gradients were taken from whom. It is made from the records that a shard writes
// down (proto/log.proto), one after another, so that whoever has the records has the books: a
// shard's log, its replica, a shard that is started again.
//
// Memory is bounded: of each worker the last kRemembered pushes.
// Thread safety: none.
class ShardBooks {
 public:
  static constexpr size_t kRemembered = 1024;  // as SequenceWindow

  struct Worker {
    v1::Books::Presence presence = v1::Books::ABSENT;
    uint64_t incarnation = 0;
    // Sequence numbers of this incarnation's pushes, and the blocks (numbers in the job) whose
    // gradients of them are applied.
    std::map<uint64_t, std::vector<uint32_t>> taken;
    uint64_t oldest_sequence = 1;
  };
  struct Block {
    int64_t version = 0;
    std::vector<int64_t> clocks;       // by worker, as WorkerInRound::clock
    std::vector<int64_t> taken_below;  // by worker
    int members = 0;                   // of its next round: workers with a lower index
  };

  // What a shard has books of, by number, ascending: its blocks, and its parts of tables
  // (Job::BlockOfTable).
  static std::vector<uint32_t> NumbersOf(const Job& job, int shard_index);

  // Of a shard that begins with its `blocks` (numbers in the job, ascending) at these versions, and
  // with the last of `counts` as the number of workers.
  ShardBooks(int shard_index, std::vector<uint32_t> blocks, const std::vector<int64_t>& versions,
             const std::vector<std::vector<int64_t>>& clocks, const WorkerCounts& counts);
  // DATA_LOSS unless `books` are those of shard `shard_index` of `job`, whole.
  static absl::StatusOr<ShardBooks> FromProto(const Job& job, int shard_index,
                                              const v1::Books& books);

  // Without spec, checkpoint and log_id, which are not the books' to know.
  v1::Books ToProto() const;

  // The next record, but for Begin. DATA_LOSS, and no change, when it does not follow on what is
  // here: another block or worker, a version that is not the next.
  absl::Status Take(const v1::LogRecord& record);

  int shard_index() const { return shard_index_; }
  const WorkerCounts& counts() const { return counts_; }
  // By index: those that the job has or had, and those who were to come.
  const std::vector<Worker>& workers() const { return workers_; }
  const std::vector<uint32_t>& numbers() const { return numbers_; }
  const std::vector<Block>& blocks() const { return blocks_; }  // by index in numbers()

 private:
  ShardBooks(int shard_index, std::vector<uint32_t> numbers, const WorkerCounts& counts);
  // Makes room for so many workers; false where they are too many.
  bool Resize(size_t workers);
  absl::Status TakeMember(const v1::LogRecord::Member& member);
  absl::Status TakeRound(const v1::LogRecord::Round& round);

  const int shard_index_;
  std::vector<uint32_t> numbers_;
  absl::flat_hash_map<uint32_t, size_t> index_;  // by number
  std::vector<Worker> workers_;
  std::vector<Block> blocks_;
  WorkerCounts counts_;
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_BOOKS_H_
