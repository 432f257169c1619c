#include "ps/table_checkpoint.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "net/table_placement.h"
#include "ps/checkpoint_format.h"
#include "ps/checkpoint_index.h"

namespace parley {
namespace {

// Reads a file from its begin to its end, and computes its checksum on the way.
class ReadThrough {
 public:
  explicit ReadThrough(const CheckpointIndex::File& file)
      : file_(file), piece_(std::min(kPiece, static_cast<size_t>(file.file->size()))) {}

  // `place` is not before what was read.
  absl::Status SkipTo(int64_t place) {
    while (place_ < place) {
      const size_t size = std::min(piece_.size(), static_cast<size_t>(place - place_));
      PARLEY_RETURN_IF_ERROR(Read(piece_.data(), size));
    }
    return absl::OkStatus();
  }
  absl::Status Read(void* data, size_t size) {
    PARLEY_RETURN_IF_ERROR(file_.file->ReadAt(place_, data, size));
    crc_ = ExtendCrc32c(crc_, data, size);
    place_ += static_cast<int64_t>(size);
    return absl::OkStatus();
  }
  // Reads the rest. DATA_LOSS when it is not what was written.
  absl::Status End() {
    PARLEY_RETURN_IF_ERROR(SkipTo(file_.file->size()));
    if (crc_ == file_.crc32c) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(file_.path, ": its checksum does not agree"));
  }

 private:
  static constexpr size_t kPiece = size_t{1} << 20;

  const CheckpointIndex::File& file_;
  std::vector<char> piece_;
  int64_t place_ = 0;
  uint32_t crc_ = 0;
};

// Index of `now` among the saved tables.
absl::StatusOr<int> MatchTable(const v1::TableSpec& now, const Job& saved) {
  const absl::StatusOr<int> found = saved.FindTable(now.name());
  if (!found.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("table ", now.name(), " is not in the checkpoint"));
  }
  const v1::TableSpec& then = saved.spec().tables(*found);
  const auto differs = [&](absl::string_view what) {
    return absl::FailedPreconditionError(
        absl::StrCat("table ", now.name(), " has another ", what, " than in the checkpoint"));
  };
  if (now.width() != then.width()) return differs("width");
  if (now.dtype() != then.dtype()) return differs("dtype");
  if (now.optimizer().kind_case() != then.optimizer().kind_case()) {
    return differs("kind of optimizer");
  }
  if ((now.expire_after_rounds() > 0) != (then.expire_after_rounds() > 0)) {
    return differs("rule whether rows expire");
  }
  return found;
}

// The rows of a virtual shard, of so many, that belong into `table` and are not there.
absl::Status RestorePiece(const CheckpointIndex::TablePiece& piece, uint32_t virtual_shards,
                          const std::string& path, ReadThrough* file, ShardTable* table) {
  const size_t row_bytes = table->layout().row_bytes;
  constexpr size_t kRows = 4096;  // at a time
  const size_t count = static_cast<size_t>(piece.rows);
  PARLEY_RETURN_IF_ERROR(file->SkipTo(piece.begin));
  std::vector<uint64_t> keys(count);
  PARLEY_RETURN_IF_ERROR(file->Read(keys.data(), count * sizeof(uint64_t)));
  for (size_t i = 0; i < count; ++i) {
    const bool ascends = i == 0 || keys[i - 1] < keys[i];
    if (ascends && VirtualShardOf(MixKey(keys[i]), virtual_shards) == piece.virtual_shard) continue;
    return absl::DataLossError(
        absl::StrCat(path, ": the keys of a table do not ascend, or stand in the wrong place"));
  }
  PARLEY_RETURN_IF_ERROR(
      file->SkipTo(piece.begin + PaddedBytes(piece.rows * static_cast<int64_t>(sizeof(uint64_t)))));
  const AlignedBytes rows = NewAlignedBytes(std::min(count, kRows) * row_bytes);
  for (size_t begin = 0; begin < count; begin += kRows) {
    const size_t size = std::min(kRows, count - begin);
    PARLEY_RETURN_IF_ERROR(file->Read(rows.get(), size * row_bytes));
    for (size_t i = 0; i < size; ++i) {
      const uint64_t key = keys[begin + i];
      if (!table->Owns(key)) continue;
      // What is there already is of a newer file.
      PARLEY_RETURN_IF_ERROR(table->RestoreRow(key, rows.get() + i * row_bytes).status());
    }
  }
  return absl::OkStatus();
}

// See MergeClocks in ps/checkpoint_reader.cc: the highest version and the lowest clocks.
RestoredTable MergedClocks(const std::vector<CheckpointIndex::TableClocks>& saved,
                           size_t num_workers, int64_t* version) {
  RestoredTable result;
  result.clocks = saved.front().clocks;
  *version = 0;
  for (const CheckpointIndex::TableClocks& each : saved) {
    *version = std::max(*version, each.version);
    for (size_t i = 0; i < result.clocks.size(); ++i) {
      result.clocks[i] = std::min(result.clocks[i], each.clocks[i]);
    }
  }
  if (result.clocks.size() != num_workers) {
    result.clocks.assign(num_workers,
                         *std::min_element(result.clocks.begin(), result.clocks.end()));
  }
  return result;
}

absl::Status CheckOneCut(const std::string& name, int64_t step, int64_t version,
                         const std::vector<int64_t>& clocks) {
  bool sound = version == step;
  for (const int64_t clock : clocks) sound = sound && clock == step;
  if (sound) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("table ", name, " is synchronous, and was saved at another version than step ",
                   step, ", by another policy"));
}

}  // namespace

absl::StatusOr<SavedTable> SavePart(ShardTable* table, size_t part, bool only_changed) {
  SavedTable saved;
  saved.version = table->version(part);
  saved.row_bytes = table->layout().row_bytes;
  if (table->spill_folder().empty()) {
    saved.spools.push_back(std::make_unique<RowSpool>());
  } else {
    PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<RowSpool> spool,
                            RowSpool::InFile(table->spill_folder()));
    saved.spools.push_back(std::move(spool));
  }
  RowSpool* const spool = saved.spools.back().get();
  for (const uint32_t number : table->virtual_shards(part)) {
    SavedTable::VirtualShard to = {number, {}, spool, spool->size()};
    absl::Status kept;
    const auto keep = [&](uint64_t key, const std::byte* row) {
      to.keys.push_back(key);
      kept.Update(spool->Append(row, saved.row_bytes));
    };
    PARLEY_RETURN_IF_ERROR(only_changed ? table->ForEachChangedRow(part, number, keep)
                                        : table->ForEachRow(part, number, keep));
    PARLEY_RETURN_IF_ERROR(kept);
    if (!to.keys.empty()) saved.virtual_shards.push_back(std::move(to));
  }
  return saved;
}

SavedTable JoinParts(std::vector<SavedTable> parts) {
  SavedTable all;
  all.row_bytes = parts.front().row_bytes;
  all.version = parts.front().version;
  for (SavedTable& part : parts) {
    all.version = std::min(all.version, part.version);
    std::move(part.virtual_shards.begin(), part.virtual_shards.end(),
              std::back_inserter(all.virtual_shards));
    std::move(part.spools.begin(), part.spools.end(), std::back_inserter(all.spools));
  }
  std::sort(all.virtual_shards.begin(), all.virtual_shards.end(),
            [](const SavedTable::VirtualShard& a, const SavedTable::VirtualShard& b) {
              return a.number < b.number;
            });
  return all;
}

absl::StatusOr<std::vector<RestoredTable>> RestoreTables(Env* env, const std::string& folder,
                                                         const std::string& manifest_file,
                                                         const Job& job, int shard,
                                                         size_t num_parts,
                                                         const std::string& spill_folder) {
  std::vector<RestoredTable> restored;
  if (job.spec().tables().empty()) return restored;
  PARLEY_ASSIGN_OR_RETURN(const v1::Manifest manifest, ReadManifest(env, folder, manifest_file));
  PARLEY_ASSIGN_OR_RETURN(const CheckpointIndex index,
                          CheckpointIndex::Open(env, folder, manifest));
  const auto in_file = [&](const absl::Status& status) { return Annotate(status, manifest_file); };
  struct Source {
    const CheckpointIndex::TablePiece* piece;
    size_t table;
    uint32_t virtual_shards;  // of the saved table
  };
  std::vector<std::vector<Source>> sources(index.files().size());  // by file, in their order there
  for (int i = 0; i < job.spec().tables_size(); ++i) {
    const v1::TableSpec& spec = job.spec().tables(i);
    const absl::StatusOr<int> saved = MatchTable(spec, index.job());
    if (!saved.ok()) return in_file(saved.status());
    int64_t version;
    RestoredTable table = MergedClocks(index.table_clocks(*saved),
                                       static_cast<size_t>(job.spec().num_workers()), &version);
    if (job.PolicyOfTable(i).has_synchronous()) {
      PARLEY_RETURN_IF_ERROR(
          in_file(CheckOneCut(spec.name(), index.step(), version, table.clocks)));
    }
    PARLEY_ASSIGN_OR_RETURN(table.table,
                            ShardTable::Create(job, i, shard, num_parts, version, spill_folder));
    if (static_cast<int64_t>(table.table->layout().row_bytes) != index.row_bytes(*saved)) {
      return in_file(absl::DataLossError(absl::StrCat("table ", spec.name(), " has rows of ",
                                                      index.row_bytes(*saved), " bytes, not ",
                                                      table.table->layout().row_bytes)));
    }
    const uint32_t then = static_cast<uint32_t>(index.job().spec().tables(*saved).virtual_shards());
    const uint32_t now = static_cast<uint32_t>(spec.virtual_shards());
    for (const CheckpointIndex::TablePiece& piece : index.table_pieces(*saved)) {
      if (then == now &&
          ShardOfVirtual(piece.virtual_shard, now, job.spec().num_shards()) != shard) {
        continue;
      }
      sources[static_cast<size_t>(piece.file)].push_back({&piece, static_cast<size_t>(i), then});
    }
    restored.push_back(std::move(table));
  }
  // Of a shard's files the newest comes first.
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].empty()) continue;
    // The tables of the job may stand in another order than in the file.
    std::sort(sources[i].begin(), sources[i].end(),
              [](const Source& a, const Source& b) { return a.piece->begin < b.piece->begin; });
    const CheckpointIndex::File& file = index.files()[i];
    ReadThrough reader(file);
    for (const Source& source : sources[i]) {
      PARLEY_RETURN_IF_ERROR(RestorePiece(*source.piece, source.virtual_shards, file.path, &reader,
                                          restored[source.table].table.get()));
    }
    PARLEY_RETURN_IF_ERROR(reader.End());
  }
  return restored;
}

}  // namespace parley
