#include "ps/table/table_part.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

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
      slab_(layout->row_bytes) {
  for (size_t i = 0; i < virtual_shards_.size(); ++i) {
    index_of_[virtual_shards_[i]] = static_cast<uint16_t>(i);
  }
}

// Three batches are under way at a time: of one the lines of the index are asked for, of the one
// before the rows, and the one before that is used. So memory always has something to do.
template <int kWrite, typename Use>
void TablePart::FindAll(absl::Span<const uint64_t> keys, size_t bytes, Use use) const {
  struct Batch {
    uint64_t mixed[kBatch];
    const RowIndex* indices[kBatch];
    std::byte* rows[kBatch];
  };
  Batch batches[2];
  const size_t count = (keys.size() + kBatch - 1) / kBatch;
  const uint32_t virtual_shards = layout_->virtual_shards;
  for (size_t step = 0; step < count + 2; ++step) {
    if (step < count) {
      Batch& batch = batches[step % 2];
      const absl::Span<const uint64_t> some = keys.subspan(step * kBatch, kBatch);
      for (size_t i = 0; i < some.size(); ++i) {
        batch.mixed[i] = MixKey(some[i]);
        batch.indices[i] = &indices_[index_of_[VirtualShardOf(batch.mixed[i], virtual_shards)]];
        batch.indices[i]->Prefetch(batch.mixed[i]);
      }
    }
    if (step >= 1 && step <= count) {
      Batch& batch = batches[(step - 1) % 2];
      const absl::Span<const uint64_t> some = keys.subspan((step - 1) * kBatch, kBatch);
      for (size_t i = 0; i < some.size(); ++i) {
        const uint32_t slot = batch.indices[i]->Find(batch.mixed[i], some[i]);
        batch.rows[i] = slot == RowIndex::kNone ? nullptr : slab_.RowAt(slot);
        if (batch.rows[i] != nullptr) PrefetchRow<kWrite>(batch.rows[i], bytes);
      }
    }
    if (step >= 2) use((step - 2) * kBatch, batches[step % 2].rows);
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
  ToWire(dtype, values, width, out);
}

void TablePart::Gather(absl::Span<const uint64_t> keys, absl::Span<const uint32_t> places,
                       v1::DType dtype, std::byte* out) const {
  const size_t out_bytes = static_cast<size_t>(layout_->width) * WireBytes(dtype);
  const bool as_is = dtype == layout_->dtype;
  FindAll<0>(keys, layout_->value_bytes, [&](size_t begin, std::byte* const* rows) {
    const size_t end = std::min(begin + kBatch, keys.size());
    for (size_t i = begin; i < end; ++i) {
      const std::byte* const row = rows[i - begin];
      std::byte* const to = out + (places.empty() ? i : places[i]) * out_bytes;
      if (as_is && row != nullptr) {
        CopyRow(row, out_bytes, to);
      } else {
        Read(row, keys[i], dtype, to);
      }
    }
  });
}

std::byte* TablePart::AddRow(uint64_t key) {
  const uint64_t mixed = MixKey(key);
  const uint32_t slot = slab_.Allocate();
  IndexOf(mixed).Insert(mixed, key, slot, &pool_);
  ++num_rows_;
  return slab_.RowAt(slot);
}

void TablePart::Update(int64_t round, absl::Span<const uint64_t> keys,
                       absl::Span<const float* const> gradients) {
  const size_t width = static_cast<size_t>(layout_->width);
  const bool narrow = layout_->dtype != v1::FLOAT32;
  RowOptimizer::Row updates[kBatch];
  std::vector<float> wide(narrow ? kBatch * width : 0);
  FindAll<1>(keys, layout_->row_bytes, [&](size_t begin, std::byte** rows) {
    const size_t size = std::min(kBatch, keys.size() - begin);
    for (size_t i = 0; i < size; ++i) {
      if (rows[i] == nullptr) {
        rows[i] = AddRow(keys[begin + i]);
        std::memset(rows[i], 0, layout_->row_bytes);
        Read(nullptr, keys[begin + i], layout_->dtype, rows[i]);
      }
      float* const values = narrow ? wide.data() + i * width : reinterpret_cast<float*>(rows[i]);
      if (narrow) FromWire(layout_->dtype, rows[i], width, values);
      updates[i] = {values, reinterpret_cast<float*>(rows[i] + layout_->state_offset),
                    gradients[begin + i]};
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

const std::byte* TablePart::FindRow(uint64_t key) const {
  const uint64_t mixed = MixKey(key);
  const uint32_t slot = IndexOf(mixed).Find(mixed, key);
  return slot == RowIndex::kNone ? nullptr : slab_.RowAt(slot);
}

void TablePart::RestoreRow(uint64_t key, const std::byte* row) {
  std::memcpy(AddRow(key), row, layout_->row_bytes);
}

}  // namespace parley
