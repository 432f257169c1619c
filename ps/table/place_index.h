#ifndef PARLEY_PS_TABLE_PLACE_INDEX_H_
#define PARLEY_PS_TABLE_PLACE_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/prefetch.h"

namespace parley {

// A PlaceIndex finds where on a disk a row may be, by 32 bits of its key's hash: open addressing
// with 8 bytes an entry, so that a row takes 10 to 12 bytes. It does not know keys: rows whose
// hashes are equal have an entry each, and who looks one up compares the keys that he finds there.
//
// Thread safety: one writer, or many readers.
class PlaceIndex {
 public:
  static constexpr uint32_t kNone = 0xffffffff;  // no place

  // Asks for the line where a look-up begins.
  void Prefetch(uint32_t hash) const {
    if (!entries_.empty()) PrefetchLine(&entries_[HomeOf(hash)]);
  }

  // Calls visit(place) for the entries of this hash, of which there is seldom more than one, until
  // it returns true; returns whether it did.
  template <typename Visit>
  bool ForEachOf(uint32_t hash, Visit visit) const {
    return const_cast<PlaceIndex*>(this)->ForEachOf(
        hash, [&](uint32_t& place) { return visit(static_cast<const uint32_t&>(place)); });
  }
  // The same with visit(place&), which may change it.
  template <typename Visit>
  bool ForEachOf(uint32_t hash, Visit visit) {
    if (entries_.empty()) return false;
    for (size_t at = HomeOf(hash); entries_[at].place != kNone; at = After(at)) {
      if (entries_[at].hash == hash && visit(entries_[at].place)) return true;
    }
    return false;
  }
  // The place of the entry of this hash, to be changed, if there is just one; null when there are
  // more or none. Valid until the next Insert or Erase.
  uint32_t* Only(uint32_t hash);
  bool Has(uint32_t hash, uint32_t place) const { return Find(hash, place) != entries_.size(); }

  // `place` is not kNone and not there.
  void Insert(uint32_t hash, uint32_t place);
  // The entry is there.
  void Move(uint32_t hash, uint32_t from, uint32_t to) { entries_[Find(hash, from)].place = to; }
  void Erase(uint32_t hash, uint32_t place);

  // visit(place) for each, in no order.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const Entry& entry : entries_) {
      if (entry.place != kNone) visit(entry.place);
    }
  }

  size_t size() const { return size_; }
  size_t memory() const { return entries_.size() * sizeof(Entry); }  // bytes

 private:
  struct Entry {
    uint32_t hash;
    uint32_t place;  // kNone: nothing stands here
  };

  size_t HomeOf(uint32_t hash) const {
    return static_cast<size_t>((uint64_t{hash} * entries_.size()) >> 32);
  }
  size_t After(size_t at) const { return at + 1 == entries_.size() ? 0 : at + 1; }
  // Where the entry stands; entries_.size() when it is not there.
  size_t Find(uint32_t hash, uint32_t place) const;
  void Grow();

  // An entry stands at its home or behind it, with no free one between.
  std::vector<Entry> entries_;
  size_t size_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_PLACE_INDEX_H_
