#include "ps/table/spilled_rows.h"

#include <algorithm>
#include <cstring>

#include "base/prefetch.h"
#include "base/status.h"
#include "net/table_placement.h"

namespace parley {
namespace {

constexpr size_t kWritten = 1024;  // rows that are written together
// Counts are halved when rows were used so often on average.
constexpr uint64_t kUsesARow = 32;

bool InOrder(const RowSpill::Name& a, const RowSpill::Name& b) {
  return a.virtual_shard != b.virtual_shard ? a.virtual_shard < b.virtual_shard : a.key < b.key;
}

}  // namespace

SpilledRows::SpilledRows(const TableLayout* layout, TablePart* part, RowSpill* spill, size_t memory)
    : layout_(layout), part_(part), spill_(spill), memory_(memory) {}

RowSpill::Name SpilledRows::NameOf(uint64_t key) const {
  return {VirtualShardOf(MixKey(key), layout_->virtual_shards), key};
}

void SpilledRows::Keep(uint32_t slot, uint64_t key, uint16_t state) {
  if (slot >= keys_.size()) {
    // By an eighth, and not twice as many: it counts as memory of the table.
    if (slot >= keys_.capacity()) {
      keys_.reserve(slot + slot / 8 + 1024);
      states_.reserve(slot + slot / 8 + 1024);
    }
    keys_.resize(slot + 1);
    states_.resize(slot + 1, 0);
  }
  keys_[slot] = key;
  states_[slot] = kThere | state;
  ++rows_with_[state & kMostUses];
}

void SpilledRows::Use(uint16_t* state) {
  ++uses_;
  if ((*state & kMostUses) == kMostUses) return;
  --rows_with_[*state & kMostUses];
  ++*state;
  ++rows_with_[*state & kMostUses];
}

void SpilledRows::Forget(uint16_t* state) {
  --rows_with_[*state & kMostUses];
  *state = 0;
}

void SpilledRows::HalveUses() {
  rows_with_ = {};
  for (uint16_t& state : states_) {
    if ((state & kThere) == 0) continue;
    state = static_cast<uint16_t>((state & ~kMostUses) | (state & kMostUses) / 2);
    ++rows_with_[state & kMostUses];
  }
  uses_ = 0;
  ++halvings_;
}

uint16_t SpilledRows::FewUses() const {
  const size_t enough = part_->num_rows() / 16;
  size_t rows = rows_with_[0];
  uint16_t uses = 0;
  while (uses < kMostUses && rows <= enough) rows += rows_with_[++uses];
  return uses;
}

uint16_t SpilledRows::NoteOf(uint16_t state) const {
  return static_cast<uint16_t>(halvings_ << 8 | (state & kMostUses));
}

uint16_t SpilledRows::UsesOf(uint16_t note) const {
  const uint8_t since = static_cast<uint8_t>(halvings_ - (note >> 8));
  return since > 8 ? 0 : static_cast<uint16_t>((note & kMostUses) >> since);
}

absl::Status SpilledRows::BringBack(absl::Span<const uint64_t> keys) {
  slots_.resize(keys.size());
  part_->FindSlots(keys, slots_.data());
  names_.clear();
  missing_.clear();
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i + kAhead < keys.size() && slots_[i + kAhead] != RowIndex::kNone) {
      PrefetchLine(&states_[slots_[i + kAhead]]);
    }
    if (slots_[i] == RowIndex::kNone) {
      names_.push_back(NameOf(keys[i]));
      missing_.push_back(static_cast<uint32_t>(i));
    } else {
      Use(&states_[slots_[i]]);
    }
  }
  if (names_.empty()) return absl::OkStatus();
  return spill_->Get(names_, [&](size_t i, uint16_t note, const std::byte* row) {
    const uint64_t key = names_[i].key;
    uint32_t& slot = slots_[missing_[i]];
    part_->FindSlots({&key, 1}, &slot);
    if (slot != RowIndex::kNone) return;  // a key of a Gather may come more than once
    slot = part_->RestoreRow(key, row);
    Keep(slot, key, kSpilled | UsesOf(note));
    Use(&states_[slot]);
    ++fetched_;
  });
}

void SpilledRows::Changed(absl::Span<const uint64_t> keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    const uint32_t slot = slots_[i];
    if (slot == RowIndex::kNone) continue;  // it is not admitted yet
    if (slot < keys_.size() && (states_[slot] & kThere) != 0) {
      states_[slot] |= kChanged;
    } else {
      Keep(slot, keys[i], kChanged | 1);
    }
  }
}

absl::Status SpilledRows::LetGo() {
  if (uses_ > kUsesARow * part_->num_rows()) HalveUses();
  if (Taken() <= memory_) return absl::OkStatus();
  // Somewhat more than must be, so that rows are written together.
  const size_t aim = memory_ - memory_ / 64;
  while (Taken() > aim && part_->num_rows() > 0) {
    leaving_.clear();
    written_.clear();
    size_t taken = Taken();
    const uint16_t few = FewUses();
    for (size_t met = 0; met < keys_.size() && taken > aim && leaving_.size() < kWritten; ++met) {
      const size_t slot = hand_;
      hand_ = hand_ + 1 >= keys_.size() ? 0 : hand_ + 1;
      uint16_t& state = states_[slot];
      if ((state & kThere) == 0 || (state & kMostUses) > few) continue;
      const uint64_t key = keys_[slot];
      if ((state & kChanged) != 0) {
        const std::byte* const row = part_->RowAt(static_cast<uint32_t>(slot));
        PrefetchLines(row, layout_->row_bytes);
        written_.push_back({NameOf(key), row, NoteOf(state), (state & kSpilled) != 0});
      }
      leaving_.push_back(key);
      if (part_->HasChanged(static_cast<uint32_t>(slot))) changed_.push_back(NameOf(key));
      taken -= std::min(taken, layout_->row_bytes);
      Forget(&state);
    }
    if (changed_.size() > 2 * sorted_ + kWritten) SortChanged();
    if (!written_.empty()) PARLEY_RETURN_IF_ERROR(spill_->Put(written_));
    part_->RemoveRows(leaving_);
    if (leaving_.empty()) break;  // indices and the like alone take more than there is
  }
  return absl::OkStatus();
}

absl::Status SpilledRows::Sweep(int64_t round) {
  if (layout_->expire_after == 0) return absl::OkStatus();
  slots_.clear();
  part_->Sweep(round, &slots_);
  for (const uint32_t slot : slots_) Forget(&states_[slot]);
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

void SpilledRows::TrackChanges(bool on) {
  part_->TrackChanges(on);
  changed_.clear();
  changed_.shrink_to_fit();
  sorted_ = 0;
}

void SpilledRows::SortChanged() {
  std::sort(changed_.begin(), changed_.end(), InOrder);
  const auto same = [](const RowSpill::Name& a, const RowSpill::Name& b) { return a.key == b.key; };
  changed_.erase(std::unique(changed_.begin(), changed_.end(), same), changed_.end());
  sorted_ = changed_.size();
}

absl::Status SpilledRows::ForEachChanged(
    uint32_t virtual_shard, absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) {
  if (sorted_ < changed_.size()) SortChanged();
  // Of those that went: who is in memory again, changed or not, and who is in the spill.
  std::vector<uint64_t> here = part_->ChangedKeysOf(virtual_shard);
  names_.clear();
  const size_t still = here.size();
  for (auto gone = std::lower_bound(changed_.begin(), changed_.end(),
                                    RowSpill::Name{virtual_shard, 0}, InOrder);
       gone != changed_.end() && gone->virtual_shard == virtual_shard; ++gone) {
    if (std::binary_search(here.begin(), here.begin() + static_cast<std::ptrdiff_t>(still),
                           gone->key)) {
      continue;
    }
    if (part_->FindRow(gone->key) != nullptr) {
      here.push_back(gone->key);
    } else {
      names_.push_back(*gone);
    }
  }
  std::sort(here.begin(), here.end());
  std::vector<std::byte> rows(names_.size() * layout_->row_bytes);
  std::vector<uint64_t> there;  // those that have not expired and been erased since
  PARLEY_RETURN_IF_ERROR(spill_->Get(names_, [&](size_t i, uint16_t, const std::byte* row) {
    std::memcpy(rows.data() + there.size() * layout_->row_bytes, row, layout_->row_bytes);
    there.push_back(names_[i].key);
  }));
  size_t next = 0;
  for (size_t i = 0; i <= there.size(); ++i) {
    for (; next < here.size() && (i == there.size() || here[next] < there[i]); ++next) {
      visit(here[next], part_->FindRow(here[next]));
    }
    if (i < there.size()) visit(there[i], rows.data() + i * layout_->row_bytes);
  }
  return absl::OkStatus();
}

void SpilledRows::Restore(uint64_t key, const std::byte* row) {
  Keep(part_->RestoreRow(key, row), key, kChanged);
}

}  // namespace parley
