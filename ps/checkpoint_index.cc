#include "ps/checkpoint_index.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "net/table_placement.h"
#include "ps/checkpoint_format.h"
#include "ps/optimizer.h"

namespace parley {
namespace {

// Whether the header belongs to this shard of this checkpoint.
absl::Status CheckHeader(const v1::ShardHeader& header, const CheckpointIndex& index, int shard,
                         int64_t step) {
  if (header.step() != step || header.shard_index() != shard) {
    return absl::DataLossError(absl::StrCat("it is ps:", header.shard_index(), "'s of step ",
                                            header.step(), ", the manifest takes it for ps:", shard,
                                            "'s of step ", step));
  }
  const std::string difference = DescribeDifference(index.job().spec(), header.spec());
  if (!difference.empty()) {
    return absl::DataLossError(
        absl::StrCat("it is of another job than its manifest: ", difference));
  }
  return absl::OkStatus();
}

// Whether `block` is a piece of `parameter`, which it names.
absl::Status CheckBlock(const v1::ShardHeader::Block& block, int parameter_index, int64_t step,
                        const CheckpointIndex& index) {
  const Job::Parameter& parameter = index.job().parameters()[parameter_index];
  const std::string who = absl::StrCat("block ", block.block(), " of parameter ", parameter.name);
  if (block.offset() > parameter.size || block.size() > parameter.size - block.offset()) {
    return absl::DataLossError(absl::StrCat(who, " reaches beyond the parameter"));
  }
  constexpr int kMaxSlots = 64;  // of an optimizer that is not known here
  const bool unknown = index.num_slots(parameter_index) < 0;
  if (unknown ? block.num_slots() < 0 || block.num_slots() > kMaxSlots
              : block.num_slots() != index.num_slots(parameter_index)) {
    return absl::DataLossError(
        absl::StrCat(who, " has ", block.num_slots(), " slots, not ",
                     unknown ? kMaxSlots : index.num_slots(parameter_index)));
  }
  bool sound = block.version() >= 0 && block.clocks_size() == index.counts().At(step);
  for (const int64_t clock : block.clocks()) sound = sound && clock >= 0;
  sound = sound && std::isfinite(block.rate_factor()) && block.rate_factor() >= 0;
  if (!sound) {
    return absl::DataLossError(absl::StrCat(who, " has a wrong version, clocks or rate factor"));
  }
  const int64_t lockstep = index.job().LockstepRounds(parameter_index);
  if (std::min(block.version(), step) < lockstep && block.version() != step) {
    return absl::DataLossError(absl::StrCat(who, " is at version ", block.version(), " in step ",
                                            step, " of a synchronous job"));
  }
  return absl::OkStatus();
}

absl::Status GapOrOverlap(const std::string& parameter, int64_t element) {
  return absl::DataLossError(
      absl::StrCat("parameter ", parameter, " has a gap or an overlap at element ", element));
}

}  // namespace

absl::StatusOr<CheckpointIndex> CheckpointIndex::Open(Env* env, const std::string& folder,
                                                      const v1::Manifest& manifest) {
  const std::string who = absl::StrCat("the checkpoint of step ", manifest.step(), " in ", folder);
  absl::StatusOr<Job> job = Job::Create(manifest.spec());
  if (!job.ok()) return absl::DataLossError(absl::StrCat(who, ": ", job.status().message()));
  std::vector<int> num_slots;
  for (size_t i = 0; i < job->parameters().size(); ++i) {
    if (job->OptimizerOf(static_cast<int>(i)).has_custom()) {
      num_slots.push_back(-1);
      continue;
    }
    PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Optimizer> optimizer,
                            NewOptimizer(job->OptimizerOf(static_cast<int>(i))));
    num_slots.push_back(optimizer->num_slots());
  }
  const absl::StatusOr<WorkerCounts> counts =
      WorkerCounts::FromProto(job->spec().num_workers(), manifest.worker_counts());
  if (!counts.ok()) return absl::DataLossError(absl::StrCat(who, ": ", counts.status().message()));
  CheckpointIndex index(*std::move(job), manifest.step(), *counts, std::move(num_slots));
  for (int shard = 0; shard < manifest.shards_size(); ++shard) {
    PARLEY_RETURN_IF_ERROR(index.AddShard(env, folder, manifest, shard));
  }
  for (std::vector<Piece>& pieces : index.pieces_) {
    std::sort(pieces.begin(), pieces.end(),
              [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
  }
  PARLEY_RETURN_IF_ERROR(Annotate(index.CheckCover(), who));
  return index;
}

absl::Status CheckpointIndex::AddShard(Env* env, const std::string& folder,
                                       const v1::Manifest& manifest, int shard) {
  const v1::Manifest::ShardFile& newest = manifest.shards(shard);
  v1::ShardHeader header;
  PARLEY_RETURN_IF_ERROR(
      AddFile(env, folder, newest, shard, manifest.step(), /*newer=*/nullptr, &header));
  for (const v1::Manifest::ShardFile& base : newest.bases()) {
    const v1::ShardHeader newer = header;
    if (!newer.has_base_step()) {
      return absl::DataLossError(
          absl::StrCat(JoinPath(folder, newest.file()), " has a base that it does not need"));
    }
    PARLEY_RETURN_IF_ERROR(AddFile(env, folder, base, shard, newer.base_step(), &newer, &header));
  }
  if (header.has_base_step()) {
    return absl::DataLossError(absl::StrCat(JoinPath(folder, newest.file()),
                                            " lacks its base of step ", header.base_step()));
  }
  return absl::OkStatus();
}

absl::Status CheckpointIndex::AddFile(Env* env, const std::string& folder,
                                      const v1::Manifest::ShardFile& named, int shard, int64_t step,
                                      const v1::ShardHeader* newer, v1::ShardHeader* header) {
  const std::string path = JoinPath(folder, named.file());
  absl::StatusOr<std::unique_ptr<ReadableFile>> file = env->OpenFile(path);
  if (absl::IsNotFound(file.status())) {
    return absl::DataLossError(absl::StrCat(path, " is missing"));
  }
  PARLEY_RETURN_IF_ERROR(file.status());
  if ((*file)->size() != named.bytes()) {
    return absl::DataLossError(
        absl::StrCat(path, " has ", (*file)->size(), " bytes instead of ", named.bytes()));
  }
  PARLEY_ASSIGN_OR_RETURN(ShardLayout layout, ReadShardHeader(**file, path));
  PARLEY_RETURN_IF_ERROR(Annotate(CheckHeader(layout.header, *this, shard, step), path));
  const int number = static_cast<int>(files_.size());
  int64_t begin = layout.arrays_begin;
  // A block that a newer file has stands there.
  absl::flat_hash_map<uint32_t, const v1::ShardHeader::Block*> wanted;
  for (const v1::ShardHeader::Block& block :
       newer == nullptr ? layout.header.blocks() : newer->blocks()) {
    if (newer == nullptr || block.unchanged()) wanted.emplace(block.block(), &block);
  }
  for (v1::ShardHeader::Block& block : *layout.header.mutable_blocks()) {
    const absl::StatusOr<int> parameter = job_.FindParameter(block.parameter());
    if (!parameter.ok()) {
      return absl::DataLossError(absl::StrCat(path, ": ", parameter.status().message()));
    }
    PARLEY_RETURN_IF_ERROR(Annotate(CheckBlock(block, *parameter, step, *this), path));
    num_slots_[*parameter] = block.num_slots();
    const int64_t array_begin = begin;
    if (!block.unchanged()) begin += (1 + block.num_slots()) * ArrayBytes(block.size());
    const auto found = wanted.find(block.block());
    if (found == wanted.end()) {
      // What is newer does not want it: it does not stand further back, either.
      if (newer == nullptr) return absl::DataLossError(absl::StrCat(path, ": a block comes twice"));
      block.set_unchanged(false);
      continue;
    }
    const v1::ShardHeader::Block& of = *found->second;
    if (of.parameter() != block.parameter() || of.offset() != block.offset() ||
        of.size() != block.size() || of.version() != block.version()) {
      return absl::DataLossError(absl::StrCat(path, ": block ", block.block(), " of parameter ",
                                              block.parameter(),
                                              " is not what a newer file takes it for"));
    }
    wanted.erase(found);
    if (newer == nullptr || !block.unchanged()) {
      Piece piece = {number,
                     array_begin,
                     block.offset(),
                     block.size(),
                     block.version(),
                     {block.clocks().begin(), block.clocks().end()},
                     block.has_rate_factor() ? block.rate_factor() : 1};
      std::vector<Piece>& pieces = pieces_[*parameter];
      if (newer == nullptr) {
        pieces.push_back(std::move(piece));
      } else {
        // Its version and clocks are those of the newest file.
        for (Piece& there : pieces) {
          if (there.offset != piece.offset) continue;
          there.file = piece.file;
          there.begin = piece.begin;
        }
      }
    }
  }
  if (!wanted.empty()) {
    return absl::DataLossError(absl::StrCat(path, ": block ", wanted.begin()->first,
                                            " is not there, which a newer file takes from it"));
  }
  PARLEY_RETURN_IF_ERROR(Annotate(AddTables(layout.header, newer == nullptr, shard, begin), path));
  files_.push_back({path, *std::move(file), named.crc32c(), shard});
  *header = std::move(layout.header);
  return absl::OkStatus();
}

absl::Status CheckpointIndex::AddTables(const v1::ShardHeader& header, bool newest, int shard,
                                        int64_t begin) {
  const int file = static_cast<int>(files_.size());
  if (header.tables_size() != job_.spec().tables_size()) {
    return absl::DataLossError(absl::StrCat("it has ", header.tables_size(), " tables, its job ",
                                            job_.spec().tables_size()));
  }
  for (int i = 0; i < header.tables_size(); ++i) {
    const v1::ShardHeader::Table& table = header.tables(i);
    const v1::TableSpec& spec = job_.spec().tables(i);
    int64_t& row_bytes = row_bytes_[static_cast<size_t>(i)];
    bool sound = table.name() == spec.name() && table.version() >= 0 &&
                 table.clocks_size() == counts_.At(header.step()) &&
                 (row_bytes == 0 || row_bytes == table.row_bytes());
    for (const int64_t clock : table.clocks()) sound = sound && clock >= 0;
    row_bytes = table.row_bytes();
    int64_t before = -1;
    for (const v1::ShardHeader::Table::VirtualShard& part : table.virtual_shards()) {
      const uint32_t number = part.virtual_shard();
      const uint32_t all = static_cast<uint32_t>(spec.virtual_shards());
      sound = sound && int64_t{number} > before && number < all &&
              ShardOfVirtual(number, all, job_.spec().num_shards()) == shard;
      before = number;
      table_pieces_[static_cast<size_t>(i)].push_back({file, begin, number, part.rows()});
      begin += PaddedBytes(part.rows() * int64_t{sizeof(uint64_t)}) +
               PaddedBytes(part.rows() * table.row_bytes());
    }
    if (!sound) {
      return absl::DataLossError(absl::StrCat("table ", spec.name(), " is not its job's"));
    }
    if (!newest) continue;
    table_clocks_[static_cast<size_t>(i)].push_back(
        {table.version(), {table.clocks().begin(), table.clocks().end()}});
  }
  return absl::OkStatus();
}

absl::Status CheckpointIndex::CheckCover() const {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Job::Parameter& parameter = job_.parameters()[i];
    int64_t covered = 0;
    for (const Piece& piece : pieces_[i]) {
      if (piece.offset != covered) return GapOrOverlap(parameter.name, covered);
      covered += piece.size;
    }
    if (covered != parameter.size) return GapOrOverlap(parameter.name, covered);
  }
  return absl::OkStatus();
}

}  // namespace parley
