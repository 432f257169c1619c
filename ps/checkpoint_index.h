#ifndef PARLEY_PS_CHECKPOINT_INDEX_H_
#define PARLEY_PS_CHECKPOINT_INDEX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/env.h"
#include "net/job.h"
#include "net/worker_counts.h"
#include "proto/checkpoint.pb.h"

namespace parley {

// A CheckpointIndex says where in a checkpoint's files the pieces of each parameter and table
// stand. Thread safety: immutable after Open; safe from any thread. Invariants: (1) each file has
// the size that the manifest says, and an intact header that agrees with the manifest.
//             (2) the pieces of each parameter cover it, without gap or overlap.
//             (3) a virtual shard of a table is in the files of one shard.
//             (4) of a shard's files, which follow each other, the newest comes first; each of
//             the others is the one that those before it are based on.
// The arrays themselves are not checked: VerifyCheckpoint, or ChecksumFile of what is read, does
// that.
class CheckpointIndex {
 public:
  // One block as it was saved. Its arrays stand in file `file` from `begin` on, ArrayBytes(size)
  // each: the values, then the slots.
  struct Piece {
    int file;
    int64_t begin;   // in bytes
    int64_t offset;  // of its first element in the parameter, in elements
    int64_t size;    // elements
    int64_t version;
    std::vector<int64_t> clocks;  // by worker of the saved job
    float rate_factor;
  };

  // A virtual shard of a table, or what changed of it: its keys stand in file `file` from `begin`
  // on, and then its rows.
  struct TablePiece {
    int file;
    int64_t begin;  // in bytes
    uint32_t virtual_shard;
    int64_t rows;
  };
  // A table's part at one shard.
  struct TableClocks {
    int64_t version;
    std::vector<int64_t> clocks;  // by worker of the saved job
  };

  struct File {
    std::string path;
    std::unique_ptr<ReadableFile> file;
    uint32_t crc32c;  // that it must have, says the manifest
    int shard;
  };

  // Opens the files of `manifest`, as ReadManifest gave it, and reads their headers. DATA_LOSS
  // names the file or the parameter.
  static absl::StatusOr<CheckpointIndex> Open(Env* env, const std::string& folder,
                                              const v1::Manifest& manifest);

  // The job that saved it.
  const Job& job() const { return job_; }
  int64_t step() const { return step_; }
  // How many workers the job had.
  const WorkerCounts& counts() const { return counts_; }
  // Of a parameter of job(). Of an optimizer that only the ps task's program knows, what the files
  // say.
  int num_slots(int parameter) const { return num_slots_[parameter]; }
  const std::vector<File>& files() const { return files_; }
  // Of a parameter of job(), by offset.
  const std::vector<Piece>& pieces(int parameter) const { return pieces_[parameter]; }
  // Of a table of job(), by file and place; and by shard.
  const std::vector<TablePiece>& table_pieces(int table) const { return table_pieces_[table]; }
  const std::vector<TableClocks>& table_clocks(int table) const { return table_clocks_[table]; }
  // Of its rows.
  int64_t row_bytes(int table) const { return row_bytes_[table]; }

 private:
  CheckpointIndex(Job job, int64_t step, WorkerCounts counts, std::vector<int> num_slots)
      : job_(std::move(job)),
        step_(step),
        counts_(std::move(counts)),
        num_slots_(std::move(num_slots)),
        pieces_(job_.parameters().size()),
        table_pieces_(static_cast<size_t>(job_.spec().tables_size())),
        table_clocks_(table_pieces_.size()),
        row_bytes_(table_pieces_.size(), 0) {}

  // A shard's files.
  absl::Status AddShard(Env* env, const std::string& folder, const v1::Manifest& manifest,
                        int shard);
  // One of them, of `step`, of which `newer` is the header of the one before; null: it is the
  // newest. Its header comes to `header`.
  absl::Status AddFile(Env* env, const std::string& folder, const v1::Manifest::ShardFile& named,
                       int shard, int64_t step, const v1::ShardHeader* newer,
                       v1::ShardHeader* header);
  // The tables of a file, whose arrays begin at `begin`.
  absl::Status AddTables(const v1::ShardHeader& header, bool newest, int shard, int64_t begin);
  absl::Status CheckCover() const;

  Job job_;
  int64_t step_;
  WorkerCounts counts_;
  std::vector<int> num_slots_;  // by parameter; -1 until a file has said it
  std::vector<File> files_;     // shard by shard
  std::vector<std::vector<Piece>> pieces_;
  std::vector<std::vector<TablePiece>> table_pieces_;   // by table
  std::vector<std::vector<TableClocks>> table_clocks_;  // likewise
  std::vector<int64_t> row_bytes_;                      // likewise; 0 until a file has said it
};

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_INDEX_H_
