#include "ps/checkpoint_rows.h"

#include <algorithm>

#include "base/status.h"
#include "ps/checkpoint_format.h"

namespace parley {
namespace {

constexpr int64_t kPart = 1 << 20;  // bytes that are read together

}  // namespace

CheckpointRows::CheckpointRows(const CheckpointIndex* index, int table,
                               const std::vector<bool>* reads)
    : index_(*index), row_bytes_(index->row_bytes(table)) {
  for (const CheckpointIndex::TablePiece& piece : index->table_pieces(table)) {
    if (reads != nullptr && !(*reads)[static_cast<size_t>(piece.file)]) continue;
    std::vector<const CheckpointIndex::TablePiece*>& pieces = pieces_[piece.virtual_shard];
    if (pieces.empty()) virtual_shards_.push_back(piece.virtual_shard);
    pieces.push_back(&piece);
  }
  std::sort(virtual_shards_.begin(), virtual_shards_.end(), [&](uint32_t a, uint32_t b) {
    const int shard_a = ShardOf(a), shard_b = ShardOf(b);
    return shard_a != shard_b ? shard_a < shard_b : a < b;
  });
}

int CheckpointRows::ShardOf(uint32_t virtual_shard) const {
  const int file = pieces_.at(virtual_shard).front()->file;
  return index_.files()[static_cast<size_t>(file)].shard;
}

absl::StatusOr<std::vector<CheckpointRows::Place>> CheckpointRows::Find(
    uint32_t virtual_shard) const {
  std::vector<Place> places;
  for (const CheckpointIndex::TablePiece* const piece : pieces_.at(virtual_shard)) {
    std::vector<uint64_t> keys(static_cast<size_t>(piece->rows));
    PARLEY_RETURN_IF_ERROR(index_.files()[static_cast<size_t>(piece->file)].file->ReadAt(
        piece->begin, keys.data(), keys.size() * sizeof(uint64_t)));
    int64_t offset = piece->begin + PaddedBytes(piece->rows * int64_t{sizeof(uint64_t)});
    for (const uint64_t key : keys) {
      places.push_back({key, piece->file, offset});
      offset += row_bytes_;
    }
  }
  // Stable: of equal keys the newest comes first.
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return a.key < b.key; });
  places.erase(std::unique(places.begin(), places.end(),
                           [](const Place& a, const Place& b) { return a.key == b.key; }),
               places.end());
  return places;
}

absl::Status CheckpointRows::Read(
    const std::vector<Place>& places,
    absl::FunctionRef<absl::Status(size_t i, const std::byte* row)> use) const {
  const size_t most = static_cast<size_t>(std::max<int64_t>(1, kPart / row_bytes_));
  std::vector<std::byte> rows;
  for (size_t begin = 0; begin < places.size();) {
    // Those that stand one behind another.
    size_t end = begin + 1;
    while (end < places.size() && end - begin < most && places[end].file == places[begin].file &&
           places[end].offset == places[end - 1].offset + row_bytes_) {
      ++end;
    }
    rows.resize((end - begin) * static_cast<size_t>(row_bytes_));
    PARLEY_RETURN_IF_ERROR(index_.files()[static_cast<size_t>(places[begin].file)].file->ReadAt(
        places[begin].offset, rows.data(), rows.size()));
    for (size_t i = begin; i < end; ++i) {
      PARLEY_RETURN_IF_ERROR(use(i, rows.data() + (i - begin) * static_cast<size_t>(row_bytes_)));
    }
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace parley
