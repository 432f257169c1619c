#include "cuda/allocator.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

// Heap memory with a capacity, which notices what is freed twice, with another size, or not at all.
struct Heap {
  size_t capacity = std::numeric_limits<size_t>::max();
  Mutex mutex;
  absl::flat_hash_map<void*, size_t> pieces ABSL_GUARDED_BY(mutex);
  size_t held ABSL_GUARDED_BY(mutex) = 0;
  int frees ABSL_GUARDED_BY(mutex) = 0;

  size_t bytes() {
    MutexLock lock(&mutex);
    return held;
  }
};

class HeapAllocator : public RawAllocator {
 public:
  explicit HeapAllocator(Heap* heap) : heap_(heap) {}

  absl::StatusOr<void*> Allocate(size_t bytes) override {
    MutexLock lock(&heap_->mutex);
    EXPECT_GT(bytes, 0u);
    if (bytes > heap_->capacity - heap_->held) return absl::ResourceExhaustedError("heap is full");
    // The address is enough: no test writes to more than its first bytes.
    void* const memory = std::malloc(64);
    heap_->pieces[memory] = bytes;
    heap_->held += bytes;
    return memory;
  }

  void Free(void* memory, size_t bytes) override {
    MutexLock lock(&heap_->mutex);
    const auto piece = heap_->pieces.find(memory);
    ASSERT_TRUE(piece != heap_->pieces.end());
    EXPECT_EQ(piece->second, bytes);
    heap_->pieces.erase(piece);
    heap_->held -= bytes;
    ++heap_->frees;
    std::free(memory);
  }

 private:
  Heap* const heap_;
};

CachingAllocator NewAllocator(Heap* heap, size_t limit = std::numeric_limits<size_t>::max()) {
  CachingAllocator::Options options;
  options.limit = limit;
  options.name = "cuda:7";
  return CachingAllocator(std::make_unique<HeapAllocator>(heap), options);
}

TEST(CachingAllocatorTest, RoundsUpByAtMostAnEighth) {
  EXPECT_EQ(CachingAllocator::RoundedSize(0), 512u);
  EXPECT_EQ(CachingAllocator::RoundedSize(1), 512u);
  EXPECT_EQ(CachingAllocator::RoundedSize(4096), 4096u);
  EXPECT_EQ(CachingAllocator::RoundedSize(4097), 4608u);
  EXPECT_EQ(CachingAllocator::RoundedSize(8193), 9216u);
  EXPECT_EQ(CachingAllocator::RoundedSize(kMiB), kMiB);
  size_t previous = 0;
  for (size_t bytes = 1; bytes < (size_t{1} << 44); bytes += bytes / 7 + 1) {
    const size_t rounded = CachingAllocator::RoundedSize(bytes);
    ASSERT_GE(rounded, bytes);
    ASSERT_GE(rounded, previous);
    ASSERT_EQ(rounded % 512, 0u);
    ASSERT_LE(rounded, bytes + bytes / 8 + 512) << bytes;
    ASSERT_EQ(CachingAllocator::RoundedSize(rounded), rounded) << bytes;
    previous = rounded;
  }
  const size_t all = std::numeric_limits<size_t>::max();
  EXPECT_GE(CachingAllocator::RoundedSize(all), all - 1);
}

TEST(CachingAllocatorTest, FreedMemoryServesTheNextRequestOfItsClass) {
  Heap heap;
  CachingAllocator allocator = NewAllocator(&heap);
  void* first = nullptr;
  {
    const auto memory = allocator.Allocate(1000);
    ASSERT_TRUE(memory.ok());
    first = memory->get();
  }
  EXPECT_EQ(allocator.usage().cached, 1024u);
  const auto again = allocator.Allocate(600);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->get(), first);
  const auto other = allocator.Allocate(600);
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other->get(), first);
  EXPECT_EQ(allocator.usage().raw_allocations, 2);
  EXPECT_EQ(allocator.usage().in_use, 2048u);
  EXPECT_EQ(allocator.usage().peak_in_use, 2048u);
}

TEST(CachingAllocatorTest, TheLimitCountsWhatIsCachedAndGivesItBackFirst) {
  Heap heap;
  CachingAllocator allocator = NewAllocator(&heap, 4 * kMiB);
  allocator.Allocate(3 * kMiB).value();
  EXPECT_EQ(allocator.usage().cached, 3 * kMiB);
  const auto memory = allocator.Allocate(2 * kMiB);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(heap.bytes(), 2 * kMiB);
  const auto refused = allocator.Allocate(3 * kMiB);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("cuda:7"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr(absl::StrCat(3 * kMiB)));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr(absl::StrCat(2 * kMiB)));
  EXPECT_TRUE(allocator.Allocate(2 * kMiB).ok());
}

TEST(CachingAllocatorTest, AnExhaustedSourceIsTriedAgainWithoutTheCache) {
  Heap heap;
  heap.capacity = 4 * kMiB;
  CachingAllocator allocator = NewAllocator(&heap);
  allocator.Allocate(3 * kMiB).value();
  const auto memory = allocator.Allocate(2 * kMiB);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const auto refused = allocator.Allocate(4 * kMiB);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("heap is full"));
  EXPECT_EQ(allocator.Allocate(std::numeric_limits<size_t>::max()).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(CachingAllocatorTest, MemoryMayOutliveTheAllocatorAndIsFreedOnce) {
  Heap heap;
  std::shared_ptr<void> memory;
  {
    CachingAllocator allocator = NewAllocator(&heap);
    memory = allocator.Allocate(kMiB).value();
  }
  EXPECT_EQ(heap.bytes(), kMiB);
  memory.reset();
  EXPECT_EQ(heap.bytes(), 0u);
}

TEST(CachingAllocatorTest, ReleaseCachedLeavesWhatIsInUse) {
  Heap heap;
  CachingAllocator allocator = NewAllocator(&heap);
  const auto kept = allocator.Allocate(kMiB).value();
  allocator.Allocate(2 * kMiB).value();
  EXPECT_EQ(heap.bytes(), 3 * kMiB);
  allocator.ReleaseCached();
  EXPECT_EQ(heap.bytes(), kMiB);
  EXPECT_EQ(allocator.usage().cached, 0u);
}

// Each piece holds a mark of its owner: two owners at once would overwrite one.
TEST(CachingAllocatorTest, NoPieceHasTwoOwners) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Heap heap;
  heap.capacity = 64 * kMiB;
  {
    CachingAllocator allocator = NewAllocator(&heap, 48 * kMiB);
    std::vector<std::thread> threads;
    for (uint32_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&allocator, seed, thread] {
        std::mt19937 random(seed + thread);
        std::vector<std::pair<std::shared_ptr<void>, uint32_t>> held;
        for (uint32_t i = 0; i < 4000; ++i) {
          if (held.size() < 16 && random() % 2 == 0) {
            auto memory = allocator.Allocate(random() % (3 * kMiB));
            if (!memory.ok()) continue;
            const uint32_t mark = thread << 24 | i;
            *static_cast<uint32_t*>(memory->get()) = mark;
            held.emplace_back(*std::move(memory), mark);
          } else if (!held.empty()) {
            std::swap(held[random() % held.size()], held.back());
            EXPECT_EQ(*static_cast<uint32_t*>(held.back().first.get()), held.back().second);
            held.pop_back();
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(allocator.usage().in_use, 0u);
    EXPECT_LE(allocator.usage().peak_in_use, 48 * kMiB);
  }
  EXPECT_EQ(heap.bytes(), 0u);
}

}  // namespace
}  // namespace parley
