#include "ps/table/place_index.h"

#include <utility>

namespace parley {

uint32_t* PlaceIndex::Only(uint32_t hash) {
  if (entries_.empty()) return nullptr;
  uint32_t* only = nullptr;
  for (size_t at = HomeOf(hash); entries_[at].place != kNone; at = After(at)) {
    if (entries_[at].hash != hash) continue;
    if (only != nullptr) return nullptr;
    only = &entries_[at].place;
  }
  return only;
}

size_t PlaceIndex::Find(uint32_t hash, uint32_t place) const {
  if (entries_.empty()) return 0;
  for (size_t at = HomeOf(hash); entries_[at].place != kNone; at = After(at)) {
    if (entries_[at].place == place) return at;
  }
  return entries_.size();
}

void PlaceIndex::Insert(uint32_t hash, uint32_t place) {
  if ((size_ + 1) * 5 > entries_.size() * 4) Grow();
  size_t at = HomeOf(hash);
  while (entries_[at].place != kNone) at = After(at);
  entries_[at] = {hash, place};
  ++size_;
}

void PlaceIndex::Erase(uint32_t hash, uint32_t place) {
  size_t free = Find(hash, place);
  // What stands behind moves up, unless it would come before its home.
  for (size_t at = After(free); entries_[at].place != kNone; at = After(at)) {
    const size_t home = HomeOf(entries_[at].hash);
    const bool between = free <= at ? free < home && home <= at : free < home || home <= at;
    if (between) continue;
    entries_[free] = entries_[at];
    free = at;
  }
  entries_[free].place = kNone;
  --size_;
}

void PlaceIndex::Grow() {
  const std::vector<Entry> old = std::exchange(
      entries_, std::vector<Entry>(entries_.size() + entries_.size() / 8 + 8, Entry{0, kNone}));
  size_ = 0;
  for (const Entry& entry : old) {
    if (entry.place != kNone) Insert(entry.hash, entry.place);
  }
}

}  // namespace parley
