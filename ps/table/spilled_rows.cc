#include "ps/table/spilled_rows.h"

#include <algorithm>

#include "base/status.h"
#include "net/table_placement.h"

namespace parley {
namespace {

constexpr size_t kWritten = 1024;  // rows that are written together

}  // namespace

SpilledRows::SpilledRows(const TableLayout* layout, TablePart* part, RowSpill* spill, size_t memory)
    : layout_(layout), part_(part), spill_(spill), memory_(memory) {}

RowSpill::Name SpilledRows::NameOf(uint64_t key) const {
  return {VirtualShardOf(MixKey(key), layout_->virtual_shards), key};
}

void SpilledRows::Note(uint32_t slot, uint64_t key, uint8_t state) {
  if (slot >= keys_.size()) {
    // By an eighth, and not twice as many: it counts as memory of the table.
    if (slot >= keys_.capacity()) {
      keys_.reserve(slot + slot / 8 + 1024);
      states_.reserve(slot + slot / 8 + 1024);
    }
    keys_.resize(slot + 1);
    states_.resize(slot + 1);
  }
  keys_[slot] = key;
  states_[slot] = kThere | state;
}

absl::Status SpilledRows::BringBack(absl::Span<const uint64_t> keys) {
  slots_.resize(keys.size());
  part_->FindSlots(keys, slots_.data());
  missing_.clear();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (slots_[i] == RowIndex::kNone) {
      missing_.push_back(keys[i]);
    } else {
      states_[slots_[i]] |= kUsed;
    }
  }
  if (missing_.empty()) return absl::OkStatus();
  names_.clear();
  for (const uint64_t key : missing_) names_.push_back(NameOf(key));
  // In the spill's order; those of a Gather may come more than once.
  std::sort(names_.begin(), names_.end(), [](const RowSpill::Name& a, const RowSpill::Name& b) {
    return a.virtual_shard != b.virtual_shard ? a.virtual_shard < b.virtual_shard : a.key < b.key;
  });
  const auto same = [](const RowSpill::Name& a, const RowSpill::Name& b) { return a.key == b.key; };
  names_.erase(std::unique(names_.begin(), names_.end(), same), names_.end());
  rows_.resize(names_.size() * layout_->row_bytes);
  PARLEY_RETURN_IF_ERROR(spill_->Get(names_, &found_, rows_.data()));
  for (size_t i = 0; i < names_.size(); ++i) {
    if (!found_[i]) continue;
    const uint64_t key = names_[i].key;
    // Unused: one that is asked for once soon goes again.
    Note(part_->RestoreRow(key, rows_.data() + i * layout_->row_bytes), key, 0);
  }
  return absl::OkStatus();
}

void SpilledRows::Changed(absl::Span<const uint64_t> keys) {
  slots_.resize(keys.size());
  part_->FindSlots(keys, slots_.data());
  for (size_t i = 0; i < keys.size(); ++i) {
    const uint32_t slot = slots_[i];
    if (slot == RowIndex::kNone) continue;  // it is not admitted yet
    if (slot < keys_.size() && keys_[slot] == keys[i] && (states_[slot] & kThere) != 0) {
      states_[slot] |= kChanged;
    } else {
      Note(slot, keys[i], kChanged);
    }
  }
}

absl::Status SpilledRows::LetGo() {
  if (Taken() <= memory_) return absl::OkStatus();
  // Somewhat more than must be, so that rows are written together.
  const size_t aim = memory_ - memory_ / 64;
  std::vector<const std::byte*> rows;
  while (Taken() > aim && part_->num_rows() > 0) {
    names_.clear();
    rows.clear();
    std::vector<uint64_t> leaving;
    size_t taken = Taken();
    // Every row is met at least once in two turns.
    for (size_t met = 0; met < 2 * keys_.size() && taken > aim && leaving.size() < kWritten;
         ++met) {
      const size_t slot = hand_;
      hand_ = hand_ + 1 >= keys_.size() ? 0 : hand_ + 1;
      uint8_t& state = states_[slot];
      if ((state & kThere) == 0) continue;
      if ((state & kUsed) != 0) {
        state &= static_cast<uint8_t>(~kUsed);
        continue;
      }
      const uint64_t key = keys_[slot];
      uint32_t now;
      part_->FindSlots({&key, 1}, &now);
      if (now == slot) {  // it was not swept
        if ((state & kChanged) != 0) {
          names_.push_back(NameOf(key));
          rows.push_back(part_->RowAt(now));
        }
        leaving.push_back(key);
        taken -= std::min(taken, layout_->row_bytes);
      }
      state = 0;
    }
    if (!names_.empty()) PARLEY_RETURN_IF_ERROR(spill_->Put(names_, rows));
    for (const uint64_t key : leaving) part_->RemoveRow(key);
    if (leaving.empty()) break;  // indices and the like alone take more than there is
  }
  return absl::OkStatus();
}

absl::Status SpilledRows::Sweep(int64_t round) {
  if (layout_->expire_after == 0) return absl::OkStatus();
  const int64_t every = std::max<int64_t>(1, layout_->expire_after / 2);
  for (const uint32_t number : part_->virtual_shards()) {
    if ((round + number) % every != 0) continue;
    names_.clear();
    PARLEY_RETURN_IF_ERROR(spill_->ForEach(number, [&](uint64_t key, const std::byte* row) {
      if (!layout_->HasExpired(row, round)) return;
      // One in memory is said to be the same, where it is unchanged.
      if (part_->FindRow(key) == nullptr) names_.push_back({number, key});
    }));
    if (!names_.empty()) PARLEY_RETURN_IF_ERROR(spill_->Erase(names_));
  }
  return absl::OkStatus();
}

absl::Status SpilledRows::ForEach(
    uint32_t virtual_shard,
    absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const {
  const std::vector<uint64_t> here = part_->KeysOf(virtual_shard);
  size_t next = 0;
  const auto visit_until = [&](uint64_t key) {
    for (; next < here.size() && here[next] < key; ++next) {
      visit(here[next], part_->FindRow(here[next]));
    }
  };
  PARLEY_RETURN_IF_ERROR(spill_->ForEach(virtual_shard, [&](uint64_t key, const std::byte* row) {
    visit_until(key);
    if (next == here.size() || here[next] != key) visit(key, row);
  }));
  for (; next < here.size(); ++next) visit(here[next], part_->FindRow(here[next]));
  return absl::OkStatus();
}

void SpilledRows::Restore(uint64_t key, const std::byte* row) {
  Note(part_->RestoreRow(key, row), key, kChanged);
}

}  // namespace parley
