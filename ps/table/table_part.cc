#include "ps/table/table_part.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/prefetch.h"
#include "net/row_wire.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

constexpr int kMaxWidth = 1024;
constexpr size_t kChunk = 256;  // keys whose slots are found before the first row is read
constexpr size_t kAhead = 24;   // keys between asking for a line and reading it
constexpr size_t kBatch = 8;    // rows that are used together
static_assert(kChunk % kBatch == 0);

inline bool IsAligned(const std::byte* out) {
  return reinterpret_cast<uintptr_t>(out) % sizeof(float) == 0;
}

// Copies rows of kBytes, or of `bytes` where that is 0, one behind another; or the i-th to place
// places[i], where there are some. A row then takes so few instructions that a processor sees the
// next ones soon enough to ask for them.
template <size_t kBytes, bool kPlaces>
void CopyRows(absl::Span<std::byte* const> rows, size_t bytes, const uint32_t* places,
              std::byte* out) {
  const size_t row_bytes = kBytes == 0 ? bytes : kBytes;
  for (size_t i = 0; i < std::min(kAhead, rows.size()); ++i) PrefetchLines(rows[i], row_bytes);
  for (size_t i = 0; i < rows.size(); ++i) {
    PrefetchLines(rows[std::min(i + kAhead, rows.size() - 1)], row_bytes);
    std::byte* const to = out + (kPlaces ? places[i] : i) * row_bytes;
    if (kBytes == 0) {
      std::memcpy(to, rows[i], row_bytes);
      continue;
    }
    __m256i pieces[kBytes / sizeof(__m256i) + 1];
    for (size_t k = 0; k < kBytes / sizeof(__m256i); ++k) {
      pieces[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[i]) + k);
    }
    for (size_t k = 0; k < kBytes / sizeof(__m256i); ++k) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to) + k, pieces[k]);
    }
  }
}

template <bool kPlaces>
void CopyRowsOf(size_t bytes, absl::Span<std::byte* const> rows, const uint32_t* places,
                std::byte* out) {
  switch (bytes) {
    case 32:
      return CopyRows<32, kPlaces>(rows, bytes, places, out);
    case 64:
      return CopyRows<64, kPlaces>(rows, bytes, places, out);
    case 128:
      return CopyRows<128, kPlaces>(rows, bytes, places, out);
    case 256:
      return CopyRows<256, kPlaces>(rows, bytes, places, out);
    default:
      return CopyRows<0, kPlaces>(rows, bytes, places, out);
  }
}

}  // namespace

TablePart::TablePart(const TableLayout* layout, std::vector<uint32_t> virtual_shards)
    : layout_(layout),
      virtual_shards_(std::move(virtual_shards)),
      index_of_(layout->virtual_shards, 0),
      indices_(virtual_shards_.size()),
      sightings_(layout->admit_after > 1 ? virtual_shards_.size() : 0),
      slab_(layout->row_bytes) {
  for (size_t i = 0; i < virtual_shards_.size(); ++i) {
    index_of_[virtual_shards_[i]] = static_cast<uint16_t>(i);
  }
}

// In two loops over many keys, one over lines of the index and one over rows, each of which asks
// for the line that it will read kAhead keys later. So there are always as many under way, and
// hardly any instructions between two: a processor that waits to ask for a line looks ahead over
// some hundreds of instructions only.
template <typename Found>
void TablePart::FindEach(absl::Span<const uint64_t> keys, Found found) const {
  const void* lines[kChunk];
  for (size_t begin = 0; begin < keys.size(); begin += kChunk) {
    const absl::Span<const uint64_t> some = keys.subspan(begin, kChunk);
    const size_t size = some.size();
    const auto ask = [&](size_t i) {
      const uint64_t mixed = MixKey(some[i]);
      lines[i] = IndexOf(mixed).Line(mixed);
      PrefetchLine(lines[i]);
    };
    for (size_t i = 0; i < std::min(kAhead, size); ++i) ask(i);
    for (size_t i = 0; i < size; ++i) {
      if (i + kAhead < size) ask(i + kAhead);
      found(begin + i, RowIndex::FindAt(lines[i], some[i], [&](uint64_t key) {
              const uint64_t mixed = MixKey(key);
              return IndexOf(mixed).Find(mixed, key);
            }));
    }
  }
}

void TablePart::FindSlots(absl::Span<const uint64_t> keys, uint32_t* slots) const {
  FindEach(keys, [slots](size_t i, uint32_t slot) { slots[i] = slot; });
}

size_t TablePart::FindRows(absl::Span<const uint64_t> keys, uint32_t* slots,
                           std::byte** rows) const {
  size_t found = 0;
  FindEach(keys, [&](size_t i, uint32_t slot) {
    slots[i] = slot;
    rows[i] = slot == RowIndex::kNone ? nullptr : slab_.RowAt(slot);
    found += slot == RowIndex::kNone ? 0 : 1;
  });
  return found;
}

size_t TablePart::RowsAt(absl::Span<const uint32_t> slots, std::byte** rows) const {
  size_t found = 0;
  for (size_t i = 0; i < slots.size(); ++i) {
    const bool there = slots[i] != RowIndex::kNone;
    rows[i] = there ? slab_.RowAt(slots[i]) : nullptr;
    found += there ? 1 : 0;
  }
  return found;
}

void TablePart::Read(const std::byte* row, uint64_t key, v1::DType dtype, std::byte* out) const {
  const size_t width = static_cast<size_t>(layout_->width);
  if (row != nullptr && dtype == layout_->dtype) {
    std::memcpy(out, row, layout_->value_bytes);
    return;
  }
  float values[kMaxWidth];
  if (row == nullptr) {
    if (dtype == v1::FLOAT32 && layout_->dtype == v1::FLOAT32 && IsAligned(out)) {
      layout_->initializer.Fill(key, {reinterpret_cast<float*>(out), width});
      return;
    }
    layout_->initializer.Fill(key, {values, width});
    if (layout_->dtype != v1::FLOAT32) {  // what Update would find in memory
      std::array<std::byte, kMaxWidth * sizeof(float)> narrow;
      ToWire(layout_->dtype, values, width, narrow.data());
      FromWire(layout_->dtype, narrow.data(), width, values);
    }
  } else {
    FromWire(layout_->dtype, row, width, values);
  }
  RowToWire(dtype, values, width, out);
}

bool TablePart::Admit(uint64_t key) {
  if (layout_->admit_after <= 1) return true;
  const uint64_t mixed = MixKey(key);
  RowIndex& counts = sightings_[index_of_[VirtualShardOf(mixed, layout_->virtual_shards)]];
  const uint32_t before = counts.Erase(mixed, key);
  const uint32_t count = before == RowIndex::kNone ? 1 : before + 1;
  if (count >= layout_->admit_after) return true;
  counts.Insert(mixed, key, count, &pool_);
  return false;
}

void TablePart::Sweep(int64_t round, std::vector<uint32_t>* swept) {
  if (layout_->expire_after == 0) return;
  // Twice in the time that a row has.
  const int64_t every = std::max<int64_t>(1, layout_->expire_after / 2);
  std::vector<uint64_t> expired;
  for (size_t i = 0; i < virtual_shards_.size(); ++i) {
    const int64_t turn = round + virtual_shards_[i];
    if (turn % layout_->expire_after == 0 && !sightings_.empty()) sightings_[i].Clear(&pool_);
    if (turn % every != 0) continue;
    expired.clear();
    indices_[i].ForEach([&](uint64_t key, uint32_t slot) {
      if (layout_->HasExpired(slab_.RowAt(slot), round)) expired.push_back(key);
    });
    for (const uint64_t key : expired) {
      const uint32_t slot = indices_[i].Erase(MixKey(key), key);
      slab_.Free(slot);
      if (swept != nullptr) swept->push_back(slot);
    }
    num_rows_ -= expired.size();
  }
}

void TablePart::Gather(int64_t round, absl::Span<const uint64_t> keys,
                       absl::Span<const uint32_t> places, v1::DType dtype, std::byte* out,
                       const uint32_t* slots) const {
  const size_t out_bytes = RowWireBytes(dtype, static_cast<size_t>(layout_->width));
  const bool as_is = dtype == layout_->dtype;
  const bool expire = layout_->expire_after > 0;
  const auto ask = [this](const std::byte* row) {
    if (row != nullptr) PrefetchLines(row, layout_->value_bytes);
  };
  uint32_t found_slots[kChunk];
  std::byte* rows[kChunk];
  for (size_t begin = 0; begin < keys.size(); begin += kChunk) {
    const absl::Span<const uint64_t> some = keys.subspan(begin, kChunk);
    const size_t found = slots == nullptr ? FindRows(some, found_slots, rows)
                                          : RowsAt({slots + begin, some.size()}, rows);
    const uint32_t* const places_here = places.empty() ? nullptr : places.data() + begin;
    std::byte* const out_here = places.empty() ? out + begin * out_bytes : out;
    if (as_is && !expire && found == some.size()) {
      if (places_here == nullptr) {
        CopyRowsOf<false>(out_bytes, {rows, found}, nullptr, out_here);
      } else {
        CopyRowsOf<true>(out_bytes, {rows, found}, places_here, out_here);
      }
      continue;
    }
    for (size_t i = 0; i < std::min(kAhead, some.size()); ++i) ask(rows[i]);
    for (size_t i = 0; i < some.size(); ++i) {
      if (i + kAhead < some.size()) ask(rows[i + kAhead]);
      const std::byte* row = rows[i];
      if (expire && row != nullptr && layout_->HasExpired(row, round)) row = nullptr;
      Read(row, some[i], dtype,
           out_here + (places_here == nullptr ? i : places_here[i]) * out_bytes);
    }
  }
}

uint32_t TablePart::AddRow(uint64_t key) {
  const uint64_t mixed = MixKey(key);
  const uint32_t slot = slab_.Allocate();
  IndexOf(mixed).Insert(mixed, key, slot, &pool_);
  ++num_rows_;
  return slot;
}

void TablePart::UpdateRows(int64_t round, absl::Span<const uint64_t> keys,
                           absl::Span<const float* const> gradients, uint32_t* known) {
  const size_t width = static_cast<size_t>(layout_->width);
  const bool narrow = layout_->dtype != v1::FLOAT32;
  RowOptimizer::Row updates[kBatch];
  std::byte* updated[kBatch];
  std::vector<float> wide(narrow ? kBatch * width : 0);
  const uint32_t stamp = static_cast<uint32_t>(round);
  uint32_t found[kChunk];
  std::byte* rows[kChunk];
  for (size_t begin = 0; begin < keys.size(); begin += kChunk) {
    const absl::Span<const uint64_t> some = keys.subspan(begin, kChunk);
    uint32_t* const slots = known == nullptr ? found : known + begin;
    if (known == nullptr) {
      FindRows(some, slots, rows);
    } else {
      RowsAt({slots, some.size()}, rows);
    }
    const auto ask = [&](size_t from, size_t to) {
      for (size_t i = from; i < std::min(to, some.size()); ++i) {
        if (rows[i] != nullptr) PrefetchLines(rows[i], layout_->row_bytes);
      }
    };
    ask(0, kAhead);
    size_t size = 0;  // rows of a batch that are updated
    for (size_t i = 0; i < some.size(); ++i) {
      if (i % kBatch == 0) ask(i + kAhead, i + kAhead + kBatch);
      std::byte* row = rows[i];
      const bool fresh = row == nullptr || layout_->HasExpired(row, round - 1);
      if (!fresh || Admit(some[i])) {
        if (row == nullptr) {
          slots[i] = AddRow(some[i]);
          row = slab_.RowAt(slots[i]);
        }
        if (tracks_) SetChanged(slots[i]);
        if (fresh) {
          std::memset(row, 0, layout_->row_bytes);
          Read(nullptr, some[i], layout_->dtype, row);
        }
        if (layout_->expire_after > 0) {
          std::memcpy(row + layout_->stamp_offset, &stamp, sizeof(stamp));
        }
        updated[size] = row;
        float* const values = narrow ? wide.data() + size * width : reinterpret_cast<float*>(row);
        if (narrow) FromWire(layout_->dtype, row, width, values);
        updates[size++] = {values, reinterpret_cast<float*>(row + layout_->state_offset),
                           gradients[begin + i]};
      }
      if ((i + 1) % kBatch != 0 && i + 1 < some.size()) continue;
      layout_->optimizer->Update(round, {updates, size});
      for (size_t k = 0; narrow && k < size; ++k) {
        ToWire(layout_->dtype, updates[k].values, width, updated[k]);
      }
      size = 0;
    }
  }
}

std::vector<uint64_t> TablePart::KeysOf(uint32_t virtual_shard) const {
  std::vector<uint64_t> keys;
  const RowIndex& index = indices_[index_of_[virtual_shard]];
  keys.reserve(index.size());
  index.ForEach([&](uint64_t key, uint32_t) { keys.push_back(key); });
  std::sort(keys.begin(), keys.end());
  return keys;
}

void TablePart::TrackChanges(bool on) {
  tracks_ = on;
  changed_.clear();
  if (!on) changed_.shrink_to_fit();
}

void TablePart::SetChanged(uint32_t slot) {
  if (slot / 64 >= changed_.size()) changed_.resize(slot / 64 + 1, 0);
  changed_[slot / 64] |= uint64_t{1} << slot % 64;
}

std::vector<uint64_t> TablePart::ChangedKeysOf(uint32_t virtual_shard) const {
  std::vector<uint64_t> keys;
  if (changed_.empty()) return keys;
  indices_[index_of_[virtual_shard]].ForEach([&](uint64_t key, uint32_t slot) {
    if (HasChanged(slot)) keys.push_back(key);
  });
  std::sort(keys.begin(), keys.end());
  return keys;
}

const std::byte* TablePart::FindRow(uint64_t key) const {
  const uint64_t mixed = MixKey(key);
  const uint32_t slot = IndexOf(mixed).Find(mixed, key);
  return slot == RowIndex::kNone ? nullptr : slab_.RowAt(slot);
}

uint32_t TablePart::RestoreRow(uint64_t key, const std::byte* row) {
  const uint32_t slot = AddRow(key);
  std::memcpy(slab_.RowAt(slot), row, layout_->row_bytes);
  if (slot / 64 < changed_.size()) changed_[slot / 64] &= ~(uint64_t{1} << slot % 64);
  return slot;
}

void TablePart::RestoreSighting(uint64_t key, uint32_t count) {
  const uint64_t mixed = MixKey(key);
  const uint32_t virtual_shard = VirtualShardOf(mixed, layout_->virtual_shards);
  sightings_[index_of_[virtual_shard]].Insert(mixed, key, count, &pool_);
}

void TablePart::RemoveRows(absl::Span<const uint64_t> keys) {
  const auto ask = [&](size_t i) {
    const uint64_t mixed = MixKey(keys[i]);
    PrefetchLine(IndexOf(mixed).Line(mixed));
  };
  for (size_t i = 0; i < std::min(kAhead, keys.size()); ++i) ask(i);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i + kAhead < keys.size()) ask(i + kAhead);
    const uint64_t mixed = MixKey(keys[i]);
    RowIndex& index = IndexOf(mixed);
    slab_.Free(index.Erase(mixed, keys[i]));
    index.Shrink(&pool_);
  }
  num_rows_ -= keys.size();
}

}  // namespace parley
