#ifndef PARLEY_PS_SERVED_VERSION_H_
#define PARLEY_PS_SERVED_VERSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/env.h"
#include "net/job.h"
#include "proto/checkpoint.pb.h"
#include "ps/float_buffer.h"
#include "ps/optimizer_registry.h"
#include "ps/table/table_layout.h"
#include "ps/table/table_part.h"

namespace parley {

// A ServedVersion is what one checkpoint says, in memory, to be read: dense and sparse together.
// Of a checkpoint that is based on the one before, only what changed is read: its rows stand in a
// layer over those of the version before, which it shares.
//
// Thread safety: immutable; safe from any thread.
class ServedVersion {
 public:
  struct Block {
    FloatBuffer values;
    FloatBuffer average;  // Optimizer.ema_decay; empty where none is kept
    int64_t version = 0;
  };

  // The checkpoint `manifest_file` in `folder`, of which every byte that is used is checked.
  // `before` may be null; `registry` as for RestoreBlocks, whose errors these are. UNAVAILABLE: it
  // was replaced meanwhile.
  static absl::StatusOr<std::shared_ptr<const ServedVersion>> Load(
      Env* env, const std::string& folder, const std::string& manifest_file,
      const OptimizerRegistry& registry, const ServedVersion* before);

  // What was saved, as a job with one shard that has everything.
  const Job& job() const { return job_; }
  const v1::Manifest& manifest() const { return manifest_; }
  int64_t step() const { return manifest_.step(); }
  // By number in job().
  const std::vector<std::shared_ptr<const Block>>& blocks() const { return blocks_; }
  // Rounds applied to a table.
  int64_t table_version(int table) const { return tables_[static_cast<size_t>(table)].version; }
  size_t row_width(int table) const {
    return static_cast<size_t>(tables_[static_cast<size_t>(table)].layout->width);
  }
  // Rows of the table, as they travel in `dtype`, one behind another; `keys` may come more than
  // once.
  void Gather(int table, absl::Span<const uint64_t> keys, v1::DType dtype, std::byte* out) const;

  // What it took to load: of tables, the files that were read, and how many layers there are at
  // most.
  int64_t bytes_read() const { return bytes_read_; }
  size_t layers() const;

 private:
  struct Table {
    std::shared_ptr<const TableLayout> layout;
    int64_t version = 0;
    std::vector<std::shared_ptr<const TablePart>> layers;  // the newest first
  };

  ServedVersion(Job job, v1::Manifest manifest)
      : job_(std::move(job)), manifest_(std::move(manifest)) {}

  const Job job_;
  const v1::Manifest manifest_;
  std::vector<std::shared_ptr<const Block>> blocks_;
  std::vector<Table> tables_;
  int64_t bytes_read_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_SERVED_VERSION_H_
