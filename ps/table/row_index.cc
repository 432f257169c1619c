#include "ps/table/row_index.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "net/table_placement.h"

namespace parley {
namespace {

constexpr uint8_t kManyPassed = 255;

}  // namespace

const RowIndex::Bucket RowIndex::kEmpty = {};

void RowIndex::Insert(uint64_t mixed, uint64_t key, uint32_t slot, PagePool* pool) {
  if (size_ >= num_buckets_ * 3) {
    const size_t units = num_buckets_ * sizeof(Bucket) / PagePool::kUnit;
    Resize((units + std::max<size_t>(1, units / 2)) * PagePool::kUnit, pool);
  }
  Place(mixed, key, slot);
  ++size_;
}

void RowIndex::Place(uint64_t mixed, uint64_t key, uint32_t slot) {
  uint32_t at = HomeOf(mixed);
  while (buckets_[at].count == kKeys) {
    if (buckets_[at].passed != kManyPassed) ++buckets_[at].passed;
    at = Next(at);
  }
  Bucket& bucket = buckets_[at];
  bucket.keys[bucket.count] = key;
  bucket.slots[bucket.count] = slot;
  ++bucket.count;
}

uint32_t RowIndex::Erase(uint64_t mixed, uint64_t key) {
  if (Find(mixed, key) == kNone) return kNone;
  uint32_t at = HomeOf(mixed);
  uint32_t found;
  while ((found = Match(buckets_[at], key)) == 0) {
    if (buckets_[at].passed != kManyPassed) --buckets_[at].passed;
    at = Next(at);
  }
  Bucket& bucket = buckets_[at];
  const int place = __builtin_ctz(found);
  const uint32_t slot = bucket.slots[place];
  --bucket.count;
  bucket.keys[place] = bucket.keys[bucket.count];
  bucket.slots[place] = bucket.slots[bucket.count];
  --size_;
  return slot;
}

void RowIndex::Shrink(PagePool* pool) {
  constexpr size_t kUnitKeys = PagePool::kUnit / sizeof(Bucket) * 3;  // at most
  // With room for some more, so that it does not grow again at once.
  const size_t units = size_ * 5 / 4 / kUnitKeys + 1;
  if (units * 4 * PagePool::kUnit >= num_buckets_ * 3 * sizeof(Bucket)) return;
  Resize(units * PagePool::kUnit, pool);
}

void RowIndex::Resize(size_t bytes, PagePool* pool) {
  const size_t old_bytes = num_buckets_ * sizeof(Bucket);
  Bucket* const fresh = reinterpret_cast<Bucket*>(pool->Allocate(bytes));
  std::memset(static_cast<void*>(fresh), 0, bytes);
  Bucket* const old = std::exchange(buckets_, fresh);
  const uint32_t old_buckets =
      std::exchange(num_buckets_, static_cast<uint32_t>(bytes / sizeof(Bucket)));
  for (uint32_t at = 0; at < old_buckets; ++at) {
    for (int i = 0; i < old[at].count; ++i) {
      Place(MixKey(old[at].keys[i]), old[at].keys[i], old[at].slots[i]);
    }
  }
  if (old != nullptr) pool->Free(reinterpret_cast<std::byte*>(old), old_bytes);
}

void RowIndex::Clear(PagePool* pool) {
  if (buckets_ != nullptr) {
    pool->Free(reinterpret_cast<std::byte*>(buckets_), num_buckets_ * sizeof(Bucket));
  }
  *this = RowIndex();
}

}  // namespace parley
