#include "ps/table/spill_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/file.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/unnamed_file.h"
#include "net/table_placement.h"
#include "ps/table/place_index.h"

namespace parley {
namespace {

constexpr size_t kSegmentBytes = size_t{512} << 10;
constexpr size_t kHead = sizeof(uint64_t) + sizeof(uint16_t);  // before a row
// Files with fewer segments may have any holes.
constexpr size_t kFewSegments = 8;

class SpillFile final : public RowSpill {
 public:
  // `path` is what errors call it.
  SpillFile(int descriptor, std::string path, size_t row_bytes, uint32_t virtual_shards)
      : file_(descriptor),
        path_(std::move(path)),
        row_bytes_(row_bytes),
        record_bytes_(kHead + row_bytes),
        segment_rows_(static_cast<uint32_t>(std::max<size_t>(1, kSegmentBytes / record_bytes_))),
        virtual_shards_(virtual_shards),
        indices_(virtual_shards),
        mapped_(descriptor),
        buffer_(kSegmentBytes),
        live_(1, 0) {}
  ~SpillFile() override { close(file_); }

  absl::Status Put(absl::Span<const Row> rows) override {
    for (const Row& row : rows) IndexOf(row.name).Prefetch(HashOf(row.name.key));
    for (const Row& row : rows) {
      PARLEY_RETURN_IF_ERROR(MakeRoom());
      const uint32_t place = NextPlace();
      if (row.replaces) {
        PARLEY_ASSIGN_OR_RETURN(uint32_t* const known, FindKnown(row.name));
        --live_[SegmentOf(*known)];
        ++live_[SegmentOf(place)];
        *known = place;
      } else {
        Add(row.name, place);
      }
      std::byte* const to = NewRecord();
      std::memcpy(to, &row.name.key, sizeof(row.name.key));
      std::memcpy(to + sizeof(uint64_t), &row.note, sizeof(row.note));
      std::memcpy(to + kHead, row.bytes, row_bytes_);
    }
    return FillHoles();
  }

  absl::Status Get(
      absl::Span<const Name> names,
      absl::FunctionRef<void(size_t i, uint16_t note, const std::byte* row)> visit) const override {
    for (const Name& name : names) IndexOf(name).Prefetch(HashOf(name.key));
    // Entries of a hash that is equal may be those of another key.
    std::vector<uint32_t> places;
    std::vector<size_t> owners;
    places.reserve(names.size());
    owners.reserve(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      IndexOf(names[i]).ForEachOf(HashOf(names[i].key), [&](uint32_t place) {
        places.push_back(place);
        owners.push_back(i);
        return false;
      });
    }
    const AlignedBytes records = NewAlignedBytes(places.size() * record_bytes_);
    PARLEY_RETURN_IF_ERROR(Read(places, record_bytes_, records.get()));
    for (size_t i = 0; i < places.size(); ++i) {
      const std::byte* const record = records.get() + i * record_bytes_;
      if (KeyOf(record) != names[owners[i]].key) continue;
      uint16_t note;
      std::memcpy(&note, record + sizeof(uint64_t), sizeof(note));
      visit(owners[i], note, record + kHead);
    }
    return absl::OkStatus();
  }

  absl::Status Erase(absl::Span<const Name> names) override {
    for (const Name& name : names) {
      PARLEY_ASSIGN_OR_RETURN(const uint32_t* const known, FindKnown(name));
      const uint32_t place = *known;
      PlaceIndex& index = IndexOf(name);
      index_bytes_ -= index.memory();
      index.Erase(HashOf(name.key), place);
      index_bytes_ += index.memory();
      --live_[SegmentOf(place)];
      --rows_;
    }
    return FillHoles();
  }

  absl::Status ForEach(
      uint32_t virtual_shard,
      absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const override {
    const PlaceIndex& index = indices_[virtual_shard];
    std::vector<uint32_t> places;
    places.reserve(index.size());
    index.ForEach([&](uint32_t place) { places.push_back(place); });
    std::sort(places.begin(), places.end());  // as a disk likes it
    const AlignedBytes records = NewAlignedBytes(places.size() * record_bytes_);
    std::vector<std::pair<uint64_t, const std::byte*>> by_key;
    by_key.reserve(places.size());
    PARLEY_RETURN_IF_ERROR(Read(places, record_bytes_, records.get()));
    for (size_t i = 0; i < places.size(); ++i) {
      const std::byte* const record = records.get() + i * record_bytes_;
      by_key.emplace_back(KeyOf(record), record + kHead);
    }
    std::sort(by_key.begin(), by_key.end());
    for (const auto& [key, row] : by_key) visit(key, row);
    return absl::OkStatus();
  }

  size_t memory() const override { return index_bytes_ + live_.capacity() * sizeof(live_[0]); }

 private:
  static uint32_t HashOf(uint64_t key) { return static_cast<uint32_t>(MixKey(key)); }
  static uint64_t KeyOf(const std::byte* record) {
    uint64_t key;
    std::memcpy(&key, record, sizeof(key));
    return key;
  }
  const PlaceIndex& IndexOf(const Name& name) const { return indices_[name.virtual_shard]; }
  PlaceIndex& IndexOf(const Name& name) { return indices_[name.virtual_shard]; }
  uint32_t SegmentOf(uint32_t place) const { return place / segment_rows_; }
  // Of the record that is appended next.
  uint32_t NextPlace() const { return segment_ * segment_rows_ + buffered_; }

  absl::Status Error(absl::string_view what, int error) const {
    const std::string message = absl::StrCat(path_, ": ", what, ": ", strerror(error));
    if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
    return absl::UnavailableError(message);
  }

  // The first `size` bytes of the records at these places, one behind another.
  absl::Status Read(absl::Span<const uint32_t> places, size_t size, std::byte* out) const {
    std::vector<MappedFile::Piece> pieces;
    pieces.reserve(places.size());
    for (size_t i = 0; i < places.size(); ++i) {
      const size_t in_segment = places[i] % segment_rows_ * record_bytes_;
      if (SegmentOf(places[i]) == segment_) {
        std::memcpy(out + i * size, buffer_.data() + in_segment, size);
      } else {
        pieces.push_back(
            {OffsetOf(SegmentOf(places[i])) + static_cast<int64_t>(in_segment), out + i * size});
      }
    }
    return Annotate(mapped_.Read(pieces, size), path_);
  }
  static int64_t OffsetOf(uint32_t segment) {
    return static_cast<int64_t>(segment) * static_cast<int64_t>(kSegmentBytes);
  }

  // The place, in the index, of a row that is there.
  absl::StatusOr<uint32_t*> FindKnown(const Name& name) {
    const uint32_t hash = HashOf(name.key);
    PlaceIndex& index = IndexOf(name);
    if (uint32_t* const only = index.Only(hash); only != nullptr) return only;
    absl::Status status;
    uint32_t* known = nullptr;
    index.ForEachOf(hash, [&](uint32_t& place) {
      std::byte key[sizeof(uint64_t)];
      status.Update(Read({&place, 1}, sizeof(key), key));
      if (!status.ok() || KeyOf(key) != name.key) return false;
      known = &place;
      return true;
    });
    PARLEY_RETURN_IF_ERROR(status);
    if (known != nullptr) return known;
    return absl::DataLossError(absl::StrCat(path_, ": the row of key ", name.key, " is gone"));
  }

  void Add(const Name& name, uint32_t place) {
    PlaceIndex& index = IndexOf(name);
    index_bytes_ -= index.memory();
    index.Insert(HashOf(name.key), place);
    index_bytes_ += index.memory();
    ++live_[SegmentOf(place)];
    ++rows_;
  }
  void MoveTo(const Name& name, uint32_t from, uint32_t to) {
    IndexOf(name).Move(HashOf(name.key), from, to);
    --live_[SegmentOf(from)];
    ++live_[SegmentOf(to)];
  }
  // Where it is to be written.
  std::byte* NewRecord() { return buffer_.data() + buffered_++ * record_bytes_; }

  // For one record more in the buffer.
  absl::Status MakeRoom() {
    if (buffered_ < segment_rows_) return absl::OkStatus();
    const std::byte* from = buffer_.data();
    int64_t offset = OffsetOf(segment_);
    for (size_t left = buffered_ * record_bytes_; left > 0;) {
      const ssize_t written = pwrite(file_, from, left, offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Error("cannot write", errno);
      from += written, offset += written;
      left -= static_cast<size_t>(written);
    }
    PARLEY_RETURN_IF_ERROR(Annotate(mapped_.Map(OffsetOf(segment_ + 1)), path_));
    if (!free_.empty()) {
      segment_ = free_.back();
      free_.pop_back();
      live_[segment_] = 0;
    } else {
      // The last place is none.
      if (live_.size() + 1 >= PlaceIndex::kNone / segment_rows_) {
        return absl::ResourceExhaustedError(
            absl::StrCat(path_, " has as many rows as it can have"));
      }
      segment_ = static_cast<uint32_t>(live_.size());
      live_.push_back(0);
    }
    buffered_ = 0;
    return absl::OkStatus();
  }

  // Frees segments while there are more holes than rows.
  absl::Status FillHoles() {
    for (size_t used = live_.size() - free_.size();
         used > kFewSegments && rows_ < used * segment_rows_ / 2;
         used = live_.size() - free_.size()) {
      uint32_t emptiest = PlaceIndex::kNone;
      for (uint32_t i = 0; i < live_.size(); ++i) {
        if (i == segment_ || is_free(i)) continue;
        if (emptiest == PlaceIndex::kNone || live_[i] < live_[emptiest]) emptiest = i;
      }
      PARLEY_RETURN_IF_ERROR(Empty(emptiest));
      live_[emptiest] = kFree;
      free_.push_back(emptiest);
    }
    return absl::OkStatus();
  }
  bool is_free(uint32_t segment) const { return live_[segment] == kFree; }

  absl::Status Empty(uint32_t segment) {
    if (live_[segment] == 0) return absl::OkStatus();
    std::vector<std::byte> records(segment_rows_ * record_bytes_);
    const MappedFile::Piece whole = {OffsetOf(segment), records.data()};
    PARLEY_RETURN_IF_ERROR(Annotate(mapped_.Read({&whole, 1}, records.size()), path_));
    const auto name_of = [&](uint32_t i) -> Name {
      const uint64_t key = KeyOf(records.data() + i * record_bytes_);
      return {VirtualShardOf(MixKey(key), virtual_shards_), key};
    };
    constexpr uint32_t kAhead = 16;
    for (uint32_t i = 0; i < segment_rows_; ++i) {
      if (i + kAhead < segment_rows_) {
        const Name ahead = name_of(i + kAhead);
        IndexOf(ahead).Prefetch(HashOf(ahead.key));
      }
      const Name name = name_of(i);
      const uint32_t place = segment * segment_rows_ + i;
      if (!IndexOf(name).Has(HashOf(name.key), place)) continue;
      PARLEY_RETURN_IF_ERROR(MakeRoom());
      MoveTo(name, place, NextPlace());
      std::memcpy(NewRecord(), records.data() + i * record_bytes_, record_bytes_);
    }
    return absl::OkStatus();
  }

  static constexpr uint32_t kFree = 0xffffffff;  // instead of a number of rows

  const int file_;
  const std::string path_;
  const size_t row_bytes_;
  const size_t record_bytes_;    // a key, a note and its row
  const uint32_t segment_rows_;  // place p is in segment p / segment_rows_
  const uint32_t virtual_shards_;
  std::vector<PlaceIndex> indices_;  // by virtual shard of the table
  size_t index_bytes_ = 0;
  MappedFile mapped_;              // what is written
  std::vector<std::byte> buffer_;  // the segment that is being filled
  uint32_t segment_ = 0;           // its number
  uint32_t buffered_ = 0;          // rows
  std::vector<uint32_t> live_;     // by segment: rows that are there, or kFree
  std::vector<uint32_t> free_;     // segments
  size_t rows_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RowSpill>> NewSpillFile(const std::string& folder, size_t row_bytes,
                                                       uint32_t virtual_shards) {
  PARLEY_ASSIGN_OR_RETURN(const int file, OpenUnnamedFile(folder));
  return std::make_unique<SpillFile>(file, JoinPath(folder, "rows"), row_bytes, virtual_shards);
}

}  // namespace parley
