#include "ps/table/table_part.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "net/row_wire.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kMostLines = 8;  // of a row; a processor follows what comes after by itself
constexpr int kMaxWidth = 1024;
constexpr size_t kBatch = 16;  // keys that are looked up together

// Asks for all lines of `bytes` at `row`.
template <int kWrite>
inline void PrefetchRow(const std::byte* row, size_t bytes) {
  const size_t end = std::min(bytes, kMostLines * kLine);
  for (size_t at = 0; at < end; at += kLine) __builtin_prefetch(row + at, kWrite);
  // A row that does not begin at a line's begin touches one line more.
  if (reinterpret_cast<uintptr_t>(row) % kLine != 0) __builtin_prefetch(row + end - 1, kWrite);
}

inline bool IsAligned(const std::byte* out) {
  return reinterpret_cast<uintptr_t>(out) % sizeof(float) == 0;
}

inline void CopyRow(const std::byte* row, size_t bytes, std::byte* out) {
  for (; bytes >= kLine; bytes -= kLine, row += kLine, out += kLine) std::memcpy(out, row, kLine);
  if (bytes > 0) std::memcpy(out, row, bytes);
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

// Three batches are under way at a time: of one the lines of the index are asked for, of the one
// before the rows, and the one before that is used. So memory always has something to do. Where a
// row is one line, lines are asked for in loops apart, of nothing else: a processor that waits to
// ask for one looks ahead over some hundreds of instructions only.
template <int kWrite, typename Use>
void TablePart::FindAll(absl::Span<const uint64_t> keys, size_t bytes, Use use) const {
  struct Batch {
    uint64_t mixed[kBatch];
    const RowIndex* indices[kBatch];
    std::byte* rows[kBatch];
    uint32_t slots[kBatch];
  };
  Batch batches[2];
  const void* lines[kBatch];
  const bool apart = bytes <= kLine && layout_->row_bytes % kLine == 0;
  const size_t count = (keys.size() + kBatch - 1) / kBatch;
  const uint32_t virtual_shards = layout_->virtual_shards;
  for (size_t step = 0; step < count + 2; ++step) {
    if (step < count) {
      Batch& batch = batches[step % 2];
      const absl::Span<const uint64_t> some = keys.subspan(step * kBatch, kBatch);
      for (size_t i = 0; i < some.size(); ++i) {
        batch.mixed[i] = MixKey(some[i]);
        batch.indices[i] = &indices_[index_of_[VirtualShardOf(batch.mixed[i], virtual_shards)]];
        lines[i] = batch.indices[i]->Line(batch.mixed[i]);
        if (!apart) __builtin_prefetch(lines[i]);
      }
      for (size_t i = 0; apart && i < some.size(); ++i) __builtin_prefetch(lines[i]);
    }
    if (step >= 1 && step <= count) {
      Batch& batch = batches[(step - 1) % 2];
      const absl::Span<const uint64_t> some = keys.subspan((step - 1) * kBatch, kBatch);
      for (size_t i = 0; i < some.size(); ++i) {
        const uint32_t slot = batch.indices[i]->Find(batch.mixed[i], some[i]);
        batch.slots[i] = slot;
        batch.rows[i] = slot == RowIndex::kNone ? nullptr : slab_.RowAt(slot);
        if (!apart && batch.rows[i] != nullptr) PrefetchRow<kWrite>(batch.rows[i], bytes);
        lines[i] = batch.rows[i] != nullptr ? static_cast<const void*>(batch.rows[i]) : &batch;
      }
      for (size_t i = 0; apart && i < some.size(); ++i) __builtin_prefetch(lines[i], kWrite);
    }
    if (step >= 2) use((step - 2) * kBatch, batches[step % 2].rows, batches[step % 2].slots);
  }
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
                       absl::Span<const uint32_t> places, v1::DType dtype, std::byte* out) const {
  const size_t out_bytes = RowWireBytes(dtype, static_cast<size_t>(layout_->width));
  const bool as_is = dtype == layout_->dtype;
  FindAll<0>(keys, layout_->value_bytes,
             [&](size_t begin, std::byte* const* rows, const uint32_t*) {
               const size_t end = std::min(begin + kBatch, keys.size());
               for (size_t i = begin; i < end; ++i) {
                 const std::byte* row = rows[i - begin];
                 if (row != nullptr && layout_->HasExpired(row, round)) row = nullptr;
                 std::byte* const to = out + (places.empty() ? i : places[i]) * out_bytes;
                 if (as_is && row != nullptr) {
                   CopyRow(row, out_bytes, to);
                 } else {
                   Read(row, keys[i], dtype, to);
                 }
               }
             });
}

uint32_t TablePart::AddRow(uint64_t key) {
  const uint64_t mixed = MixKey(key);
  const uint32_t slot = slab_.Allocate();
  IndexOf(mixed).Insert(mixed, key, slot, &pool_);
  ++num_rows_;
  return slot;
}

void TablePart::UpdateRows(int64_t round, absl::Span<const uint64_t> keys,
                           absl::Span<const float* const> gradients) {
  const size_t width = static_cast<size_t>(layout_->width);
  const bool narrow = layout_->dtype != v1::FLOAT32;
  RowOptimizer::Row updates[kBatch];
  std::vector<float> wide(narrow ? kBatch * width : 0);
  const uint32_t stamp = static_cast<uint32_t>(round);
  FindAll<1>(keys, layout_->row_bytes, [&](size_t begin, std::byte** rows, uint32_t* slots) {
    const size_t end = std::min(begin + kBatch, keys.size());
    size_t size = 0;  // rows that are updated
    for (size_t i = begin; i < end; ++i) {
      std::byte* row = rows[i - begin];
      const bool fresh = row == nullptr || layout_->HasExpired(row, round - 1);
      if (fresh && !Admit(keys[i])) continue;
      if (row == nullptr) {
        slots[i - begin] = AddRow(keys[i]);
        row = slab_.RowAt(slots[i - begin]);
      }
      if (tracks_) SetChanged(slots[i - begin]);
      if (fresh) {
        std::memset(row, 0, layout_->row_bytes);
        Read(nullptr, keys[i], layout_->dtype, row);
      }
      if (layout_->expire_after > 0) {
        std::memcpy(row + layout_->stamp_offset, &stamp, sizeof(stamp));
      }
      rows[size] = row;
      float* const values = narrow ? wide.data() + size * width : reinterpret_cast<float*>(row);
      if (narrow) FromWire(layout_->dtype, row, width, values);
      updates[size++] = {values, reinterpret_cast<float*>(row + layout_->state_offset),
                         gradients[i]};
    }
    layout_->optimizer->Update(round, {updates, size});
    if (!narrow) return;
    for (size_t i = 0; i < size; ++i) {
      ToWire(layout_->dtype, updates[i].values, width, rows[i]);
    }
  });
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

void TablePart::RemoveRows(absl::Span<const uint64_t> keys) {
  for (size_t begin = 0; begin < keys.size(); begin += kBatch) {
    const absl::Span<const uint64_t> some = keys.subspan(begin, kBatch);
    for (const uint64_t key : some) {
      const uint64_t mixed = MixKey(key);
      IndexOf(mixed).Prefetch(mixed);
    }
    for (const uint64_t key : some) {
      const uint64_t mixed = MixKey(key);
      RowIndex& index = IndexOf(mixed);
      slab_.Free(index.Erase(mixed, key));
      index.Shrink(&pool_);
    }
  }
  num_rows_ -= keys.size();
}

void TablePart::FindSlots(absl::Span<const uint64_t> keys, uint32_t* slots) const {
  for (size_t begin = 0; begin < keys.size(); begin += kBatch) {
    const absl::Span<const uint64_t> some = keys.subspan(begin, kBatch);
    uint64_t mixed[kBatch];
    for (size_t i = 0; i < some.size(); ++i) {
      mixed[i] = MixKey(some[i]);
      IndexOf(mixed[i]).Prefetch(mixed[i]);
    }
    for (size_t i = 0; i < some.size(); ++i) {
      slots[begin + i] = IndexOf(mixed[i]).Find(mixed[i], some[i]);
    }
  }
}

}  // namespace parley
