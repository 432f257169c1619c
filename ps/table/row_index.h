#ifndef PARLEY_PS_TABLE_ROW_INDEX_H_
#define PARLEY_PS_TABLE_ROW_INDEX_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ps/table/page_memory.h"

namespace parley {

// A RowIndex finds the slot of a row by its key: open addressing in buckets of one cache line, so
// that nearly every look-up reads one line. A bucket has five keys with their slots; a key that
// finds its bucket full stands in the next one, and the full one knows that it was passed.
//
// It grows by half when three fifths are full, so a row takes 21 to 32 bytes until rows are erased;
// a growth moves one index, of which a table has many.
//
// `mixed` is always MixKey(key), of which the lower half is used here.
//
// Memory is the pool's, which must be the same in every call and is given back by Clear only.
// Thread safety: one writer, or many readers.
class RowIndex {
 public:
  static constexpr uint32_t kNone = 0xffffffff;  // no slot

  // The line where a look-up begins, to be asked for ahead; valid until the next change.
  const void* Line(uint64_t mixed) const {
    return buckets_ == nullptr ? &kEmpty : buckets_ + HomeOf(mixed);
  }
  // What Find returns, where `line` is the key's. Where that line does not tell, which is seldom,
  // find(key) is called, which does.
  template <typename FindKey>
  static uint32_t FindAt(const void* line, uint64_t key, FindKey find) {
    const Bucket& bucket = *static_cast<const Bucket*>(line);
    const uint32_t found = Match(bucket, key);
    if (found != 0) return bucket.slots[__builtin_ctz(found)];
    return bucket.passed == 0 ? kNone : find(key);
  }

  // kNone when it is not there.
  uint32_t Find(uint64_t mixed, uint64_t key) const {
    if (buckets_ == nullptr) return kNone;
    for (uint32_t at = HomeOf(mixed);; at = Next(at)) {
      const Bucket& bucket = buckets_[at];
      const uint32_t found = Match(bucket, key);
      if (found != 0) return bucket.slots[__builtin_ctz(found)];
      if (bucket.passed == 0) return kNone;
    }
  }

  // The key must not be there; `slot` is not kNone. Throws std::bad_alloc.
  void Insert(uint64_t mixed, uint64_t key, uint32_t slot, PagePool* pool);
  // Returns its slot, or kNone when it was not there.
  uint32_t Erase(uint64_t mixed, uint64_t key);
  // Gives back what it does not need, where that is more than a quarter of what it has.
  void Shrink(PagePool* pool);
  void Clear(PagePool* pool);

  // visit(key, slot) for each, in no order.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (uint32_t at = 0; at < num_buckets_; ++at) {
      const Bucket& bucket = buckets_[at];
      for (int i = 0; i < bucket.count; ++i) visit(bucket.keys[i], bucket.slots[i]);
    }
  }

  size_t size() const { return size_; }

 private:
  static constexpr int kKeys = 5;

  struct alignas(64) Bucket {
    uint64_t keys[kKeys];
    uint32_t slots[kKeys];
    uint8_t count;   // those in use come first
    uint8_t passed;  // keys that stand further on because this was full; 255: so many or more
    uint16_t unused;
  };
  static_assert(sizeof(Bucket) == 64, "a cache line");
  static const Bucket kEmpty;

  uint32_t HomeOf(uint64_t mixed) const {
    return static_cast<uint32_t>(((mixed & 0xffffffff) * num_buckets_) >> 32);
  }
  uint32_t Next(uint32_t at) const { return at + 1 == num_buckets_ ? 0 : at + 1; }
  // A bit for each place that has the key.
  static uint32_t Match(const Bucket& bucket, uint64_t key) {
    const __m256i wanted = _mm256_set1_epi64x(static_cast<int64_t>(key));
    const __m256i four = _mm256_load_si256(reinterpret_cast<const __m256i*>(bucket.keys));
    const uint32_t found = static_cast<uint32_t>(
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(four, wanted))));
    const uint32_t last = static_cast<uint32_t>(bucket.keys[kKeys - 1] == key) << (kKeys - 1);
    return (found | last) & ((1u << bucket.count) - 1);
  }
  void Place(uint64_t mixed, uint64_t key, uint32_t slot);
  // To another number of bytes, which is a multiple of PagePool::kUnit and enough.
  void Resize(size_t bytes, PagePool* pool);

  Bucket* buckets_ = nullptr;
  uint32_t num_buckets_ = 0;
  uint32_t size_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROW_INDEX_H_
