#include "ps/served_version.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "net/row_wire.h"
#include "ps/checkpoint_index.h"
#include "ps/checkpoint_reader.h"
#include "ps/checkpoint_rows.h"
#include "ps/optimizer.h"

namespace parley {
namespace {

// With more, a look-up takes longer than it is worth: then all is read anew.
constexpr size_t kMostLayers = 16;

bool IsSame(const v1::Manifest::ShardFile& a, const v1::Manifest::ShardFile& b) {
  return a.file() == b.file() && a.bytes() == b.bytes() && a.crc32c() == b.crc32c();
}

// For each shard how many of its files, the newest first, `before` has not; nothing when it is no
// base of all of them.
std::vector<int> NewFiles(const v1::Manifest& manifest, const v1::Manifest& before) {
  std::vector<int> counts;
  if (manifest.shards_size() != before.shards_size()) return counts;
  for (int i = 0; i < manifest.shards_size(); ++i) {
    const auto& bases = manifest.shards(i).bases();
    const auto found = std::find_if(bases.begin(), bases.end(), [&](const auto& base) {
      return IsSame(base, before.shards(i));
    });
    if (found == bases.end()) return {};
    counts.push_back(static_cast<int>(found - bases.begin()) + 1);
  }
  return counts;
}

absl::Status CheckFile(const CheckpointIndex::File& file) {
  std::vector<char> piece(size_t{1} << 20);
  uint32_t crc = 0;
  for (int64_t at = 0; at < file.file->size();) {
    const size_t size =
        static_cast<size_t>(std::min(static_cast<int64_t>(piece.size()), file.file->size() - at));
    PARLEY_RETURN_IF_ERROR(file.file->ReadAt(at, piece.data(), size));
    crc = ExtendCrc32c(crc, piece.data(), size);
    at += static_cast<int64_t>(size);
  }
  if (crc == file.crc32c) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(file.path, ": its checksum does not agree"));
}

// The table's rows in those files of `index` that `reads` has.
absl::StatusOr<std::shared_ptr<const TablePart>> ReadLayer(const CheckpointIndex& index, int table,
                                                           const std::vector<bool>& reads,
                                                           const TableLayout* layout) {
  std::vector<uint32_t> all(layout->virtual_shards);
  std::iota(all.begin(), all.end(), 0);
  auto part = std::make_shared<TablePart>(layout, std::move(all));
  const CheckpointRows rows(&index, table, &reads);
  for (const uint32_t virtual_shard : rows.virtual_shards()) {
    PARLEY_ASSIGN_OR_RETURN(const std::vector<CheckpointRows::Place> places,
                            rows.Find(virtual_shard));
    PARLEY_RETURN_IF_ERROR(rows.Read(places, [&](size_t i, const std::byte* row) {
      if (part->FindRow(places[i].key) != nullptr) {
        return absl::DataLossError(
            absl::StrCat("table ", layout->name, " has key ", places[i].key, " twice"));
      }
      part->RestoreRow(places[i].key, row);
      return absl::OkStatus();
    }));
  }
  return std::shared_ptr<const TablePart>(std::move(part));
}

absl::StatusOr<Job> JobOfOneShard(const v1::Manifest& manifest) {
  v1::JobSpec spec = manifest.spec();
  spec.set_num_shards(1);
  return Job::Create(spec);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServedVersion>> ServedVersion::Load(
    Env* env, const std::string& folder, const std::string& manifest_file,
    const OptimizerRegistry& registry, const ServedVersion* before) {
  PARLEY_ASSIGN_OR_RETURN(const v1::Manifest manifest, ReadManifest(env, folder, manifest_file));
  PARLEY_ASSIGN_OR_RETURN(Job job, JobOfOneShard(manifest));
  std::shared_ptr<ServedVersion> version(new ServedVersion(std::move(job), manifest));
  PARLEY_ASSIGN_OR_RETURN(
      std::vector<RestoredBlock> blocks,
      RestoreBlocks(env, folder, manifest_file, version->job_, /*shard=*/0, registry));
  for (RestoredBlock& restored : blocks) {
    auto block = std::make_shared<Block>();
    block->values = std::move(restored.values);
    block->version = restored.version;
    const int parameter = version->job_.blocks()[restored.number].parameter;
    PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Optimizer> optimizer,
                            NewOptimizer(version->job_.OptimizerOf(parameter), registry));
    const std::vector<absl::string_view> slots = optimizer->slot_names();
    const auto average = std::find(slots.begin(), slots.end(), kAverageSlot);
    if (average != slots.end() && version->job_.OptimizerOf(parameter).ema_decay() > 0) {
      block->average = std::move(restored.slots[static_cast<size_t>(average - slots.begin())]);
    }
    version->blocks_.push_back(std::move(block));
  }

  PARLEY_ASSIGN_OR_RETURN(const CheckpointIndex index,
                          CheckpointIndex::Open(env, folder, manifest));
  std::vector<int> fresh;
  if (before != nullptr && before->layers() < kMostLayers &&
      DescribeDifference(before->manifest_.spec(), manifest.spec()).empty()) {
    fresh = NewFiles(manifest, before->manifest_);
  }
  std::vector<bool> reads;
  int file_of_shard = 0;
  int shard_before = -1;
  for (const CheckpointIndex::File& file : index.files()) {
    file_of_shard = file.shard == shard_before ? file_of_shard + 1 : 0;
    shard_before = file.shard;
    reads.push_back(fresh.empty() || file_of_shard < fresh[static_cast<size_t>(file.shard)]);
    if (!reads.back() || version->job_.spec().tables().empty()) continue;
    PARLEY_RETURN_IF_ERROR(CheckFile(file));
    version->bytes_read_ += file.file->size();
  }
  for (int i = 0; i < version->job_.spec().tables_size(); ++i) {
    Table table;
    if (fresh.empty()) {
      PARLEY_ASSIGN_OR_RETURN(
          TableLayout layout,
          TableLayout::Create(version->job_.spec().tables(i), version->job_.spec().seed()));
      table.layout = std::make_shared<const TableLayout>(std::move(layout));
    } else {
      table = before->tables_[static_cast<size_t>(i)];
    }
    if (static_cast<int64_t>(table.layout->row_bytes) != index.row_bytes(i)) {
      return absl::DataLossError(absl::StrCat(manifest_file, ": table ", table.layout->name,
                                              " has rows of ", index.row_bytes(i), " bytes, not ",
                                              table.layout->row_bytes));
    }
    table.version = 0;
    for (const CheckpointIndex::TableClocks& clocks : index.table_clocks(i)) {
      table.version = std::max(table.version, clocks.version);
    }
    auto layer = ReadLayer(index, i, reads, table.layout.get());
    if (!layer.ok()) return Annotate(layer.status(), manifest_file);
    table.layers.insert(table.layers.begin(), *std::move(layer));
    version->tables_.push_back(std::move(table));
  }
  // The blocks were read with a manifest of their own: it was the same if it still is.
  PARLEY_ASSIGN_OR_RETURN(const v1::Manifest now, ReadManifest(env, folder, manifest_file));
  if (now.SerializeAsString() != manifest.SerializeAsString()) {
    return absl::UnavailableError(
        absl::StrCat(manifest_file, " was replaced while it was being read"));
  }
  return std::shared_ptr<const ServedVersion>(std::move(version));
}

size_t ServedVersion::layers() const {
  size_t most = 0;
  for (const Table& table : tables_) most = std::max(most, table.layers.size());
  return most;
}

void ServedVersion::Gather(int table, absl::Span<const uint64_t> keys, v1::DType dtype,
                           std::byte* out) const {
  const Table& of = tables_[static_cast<size_t>(table)];
  std::vector<uint64_t> left(keys.begin(), keys.end());
  std::vector<uint32_t> places(keys.size());
  std::iota(places.begin(), places.end(), 0);
  for (size_t i = 0; i + 1 < of.layers.size() && !left.empty(); ++i) {
    std::vector<uint32_t> slots(left.size());
    of.layers[i]->FindSlots(left, slots.data());
    std::vector<uint64_t> here;
    std::vector<uint32_t> places_here;
    size_t further = 0;
    for (size_t j = 0; j < left.size(); ++j) {
      if (slots[j] != RowIndex::kNone) {
        here.push_back(left[j]);
        places_here.push_back(places[j]);
      } else {
        left[further] = left[j];
        places[further++] = places[j];
      }
    }
    left.resize(further);
    places.resize(further);
    of.layers[i]->Gather(of.version, here, places_here, dtype, out);
  }
  // What the last one has not reads as its initializer says.
  of.layers.back()->Gather(of.version, left, places, dtype, out);
}

}  // namespace parley
