#include "cuda/allocator.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace parley {

class CachingAllocator::Pool {
 public:
  Pool(std::unique_ptr<RawAllocator> source, Options options)
      : source_(std::move(source)), options_(std::move(options)) {}
  ~Pool() { ReleaseCached(); }

  absl::StatusOr<void*> Take(size_t bytes, size_t requested) {
    MutexLock lock(&mutex_);
    auto cached = cached_.find(bytes);
    if (cached != cached_.end() && !cached->second.empty()) {
      void* const memory = cached->second.back();
      cached->second.pop_back();
      usage_.cached -= bytes;
      Use(bytes);
      return memory;
    }
    if (!Fits(bytes)) ReleaseCachedLocked();
    if (!Fits(bytes)) return Exhausted(requested, "that is beyond the limit");
    absl::StatusOr<void*> memory = source_->Allocate(bytes);
    if (!memory.ok() && usage_.cached > 0) {
      ReleaseCachedLocked();
      memory = source_->Allocate(bytes);
    }
    if (!memory.ok()) {
      if (memory.status().code() != absl::StatusCode::kResourceExhausted) return memory.status();
      return Exhausted(requested, memory.status().message());
    }
    ++usage_.raw_allocations;
    Use(bytes);
    return memory;
  }

  void GiveBack(void* memory, size_t bytes) {
    MutexLock lock(&mutex_);
    cached_[bytes].push_back(memory);
    usage_.in_use -= bytes;
    usage_.cached += bytes;
  }

  void ReleaseCached() {
    MutexLock lock(&mutex_);
    ReleaseCachedLocked();
  }

  Usage usage() const {
    MutexLock lock(&mutex_);
    return usage_;
  }

 private:
  bool Fits(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const size_t held = usage_.in_use + usage_.cached;
    return held <= options_.limit && bytes <= options_.limit - held;
  }

  void Use(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    usage_.in_use += bytes;
    usage_.peak_in_use = std::max(usage_.peak_in_use, usage_.in_use);
  }

  void ReleaseCachedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto& [bytes, pieces] : cached_) {
      for (void* const piece : pieces) source_->Free(piece, bytes);
    }
    cached_.clear();
    usage_.cached = 0;
  }

  absl::Status Exhausted(size_t requested, absl::string_view why) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return absl::ResourceExhaustedError(absl::StrCat(options_.name, ": no memory for ", requested,
                                                     " bytes, with ", usage_.in_use,
                                                     " in use: ", why));
  }

  const std::unique_ptr<RawAllocator> source_;
  const Options options_;

  mutable Mutex mutex_;
  std::map<size_t, std::vector<void*>> cached_ ABSL_GUARDED_BY(mutex_);
  Usage usage_ ABSL_GUARDED_BY(mutex_);
};

CachingAllocator::CachingAllocator(std::unique_ptr<RawAllocator> source, Options options)
    : pool_(std::make_shared<Pool>(std::move(source), std::move(options))) {}

absl::StatusOr<std::shared_ptr<void>> CachingAllocator::Allocate(size_t bytes) {
  const size_t rounded = RoundedSize(bytes);
  absl::StatusOr<void*> memory = pool_->Take(rounded, bytes);
  if (!memory.ok()) return memory.status();
  return std::shared_ptr<void>(
      *memory, [pool = pool_, rounded](void* freed) { pool->GiveBack(freed, rounded); });
}

void CachingAllocator::ReleaseCached() { pool_->ReleaseCached(); }

CachingAllocator::Usage CachingAllocator::usage() const { return pool_->usage(); }

size_t CachingAllocator::RoundedSize(size_t bytes) {
  constexpr size_t kSmallest = 512;
  size_t step = kSmallest;
  // Between 2^k and 2^(k+1) classes are 2^(k-3) apart. A request near the end of the address space
  // stays as it is: no source has it.
  for (size_t power = 8 * kSmallest; bytes > power && step < (size_t{1} << 58); power *= 2) {
    if (bytes > 2 * power) step *= 2;
  }
  const size_t pieces = std::max<size_t>(1, bytes / step + (bytes % step != 0 ? 1 : 0));
  return pieces > std::numeric_limits<size_t>::max() / step ? bytes : pieces * step;
}

}  // namespace parley
