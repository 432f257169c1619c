#include "net/shared_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

// What a peer gets: a descriptor of its own.
UniqueFd Sent(const SharedArena& arena, uint32_t segment) {
  return UniqueFd(fcntl(arena.SegmentAt(segment).fd, F_DUPFD_CLOEXEC, 0));
}

TEST(SharedArenaTest, APeerReadsWhatIsWritten) {
  const auto arena = SharedArena::Create();
  PeerSegments peer;
  const std::shared_ptr<std::byte> buffer = arena->Allocate(10000).value();
  const auto place = arena->Find(buffer.get() + 100, 50);
  ASSERT_TRUE(place.has_value());
  ASSERT_TRUE(peer.Add(0, arena->SegmentAt(0).size, Sent(*arena, 0)).ok());
  std::memset(buffer.get(), 0x5a, 10000);
  const auto piece = peer.Resolve(place->segment, place->offset, 50);
  ASSERT_TRUE(piece.ok()) << piece.status();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(piece->data[i], std::byte{0x5a});
}

TEST(SharedArenaTest, BuffersDoNotOverlapAreAlignedAndComeBack) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto arena = SharedArena::Create();
  std::vector<std::pair<std::shared_ptr<std::byte>, size_t>> live;
  for (int i = 0; i < 2000; ++i) {
    if (live.size() > 50 || (!live.empty() && random() % 3 == 0)) {
      const size_t victim = random() % live.size();
      for (size_t j = 0; j < live[victim].second; ++j) {
        ASSERT_EQ(live[victim].first.get()[j], std::byte(live[victim].second % 251));
      }
      live.erase(live.begin() + static_cast<long>(victim));
      continue;
    }
    const size_t size = 1 + random() % 20000;
    std::shared_ptr<std::byte> buffer = arena->Allocate(size).value();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.get()) % 64, 0u);
    std::memset(buffer.get(), static_cast<int>(size % 251), size);
    live.emplace_back(std::move(buffer), size);
  }
  std::byte* const first = arena->Allocate(777777).value().get();
  EXPECT_EQ(arena->Allocate(777777).value().get(), first);
}

// The kernel exchanges pages while others write and read them.
TEST(SharedArenaTest, BytesStayWhatTheyAreWhenPagesBecomeHuge) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto arena = SharedArena::Create();
  PeerSegments peer;
  std::vector<std::pair<std::shared_ptr<std::byte>, size_t>> buffers;
  for (int i = 0; i < 30; ++i) {
    const size_t size = 1 + random() % (size_t{3} << 20) / (1 + static_cast<size_t>(i) % 7);
    buffers.emplace_back(arena->Allocate(size).value(), size);
    if (i % 5 != 4) std::memset(buffers.back().first.get(), i, size);  // one in five comes later
  }
  ASSERT_TRUE(peer.Add(0, arena->SegmentAt(0).size, Sent(*arena, 0)).ok());
  std::thread writer([&] {
    for (size_t i = 4; i < 30; i += 5) {
      std::memset(buffers[i].first.get(), static_cast<int>(i), buffers[i].second);
    }
  });
  for (const auto& [buffer, size] : buffers)
    arena->UseHugePages(*arena->Find(buffer.get(), size), size);
  writer.join();
  for (size_t i = 0; i < 30; ++i) {
    const auto& [buffer, size] = buffers[i];
    const auto place = arena->Find(buffer.get(), size);
    ASSERT_TRUE(place.has_value());
    const auto piece = peer.Resolve(place->segment, place->offset, size);
    ASSERT_TRUE(piece.ok()) << piece.status();
    const std::vector<std::byte> expected(size, static_cast<std::byte>(i));
    ASSERT_EQ(std::memcmp(buffer.get(), expected.data(), size), 0) << i;
    ASSERT_EQ(std::memcmp(piece->data, expected.data(), size), 0) << i;
  }
}

TEST(SharedArenaTest, OtherMemoryIsNotFound) {
  const auto arena = SharedArena::Create();
  std::vector<char> heap(100);
  EXPECT_FALSE(arena->Find(heap.data(), 100).has_value());
  const std::shared_ptr<std::byte> buffer = arena->Allocate(100).value();
  EXPECT_FALSE(arena->Find(heap.data(), 100).has_value());
  EXPECT_FALSE(arena->Find(buffer.get(), size_t{1} << 40).has_value());
  const auto places =
      arena->FindAll({{buffer.get() + 1, 2}, {heap.data(), 100}, {buffer.get(), 1}});
  ASSERT_EQ(places.size(), 3u);
  EXPECT_EQ(places[0]->offset, places[2]->offset + 1);
  EXPECT_FALSE(places[1].has_value());
}

TEST(SharedArenaTest, ABufferThatIsLargerThanASegmentHasItsOwn) {
  const auto arena = SharedArena::Create();
  const std::shared_ptr<std::byte> small = arena->Allocate(100).value();
  const size_t huge = size_t{3} << 30;  // of which no page is written
  const auto buffer = arena->Allocate(huge);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  const auto place = arena->Find(buffer->get(), huge);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->segment, 1u);
}

TEST(SharedArenaTest, BuffersOutliveTheArena) {
  std::shared_ptr<std::byte> buffer;
  {
    const auto arena = SharedArena::Create();
    buffer = arena->Allocate(5000).value();
  }
  std::memset(buffer.get(), 1, 5000);
}

TEST(PeerSegmentsTest, WhatIsOutsideIsRefused) {
  const auto arena = SharedArena::Create();
  const std::shared_ptr<std::byte> buffer = arena->Allocate(100).value();
  const uint64_t size = arena->SegmentAt(0).size;
  PeerSegments peer;
  EXPECT_FALSE(peer.Resolve(0, 0, 1).ok());
  ASSERT_TRUE(peer.Add(0, size, Sent(*arena, 0)).ok());
  EXPECT_TRUE(peer.Resolve(0, 0, size).ok());
  EXPECT_TRUE(peer.Resolve(0, size, 0).ok());
  for (const auto& [segment, offset, length] :
       std::vector<std::tuple<uint32_t, uint64_t, uint64_t>>{{0, 0, size + 1},
                                                             {0, 1, size},
                                                             {0, size + 1, 0},
                                                             {0, UINT64_MAX, 2},
                                                             {0, 2, UINT64_MAX},
                                                             {1, 0, 1},
                                                             {UINT32_MAX, 0, 1}}) {
    EXPECT_FALSE(peer.Resolve(segment, offset, length).ok()) << offset << " " << length;
  }
}

// A reader of memory that shrinks would be killed.
TEST(PeerSegmentsTest, MemoryThatMayShrinkOrIsNoneIsRefused) {
  PeerSegments peer;
  UniqueFd unsealed(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), 4096), 0);
  EXPECT_FALSE(peer.Add(0, 4096, std::move(unsealed)).ok());
  EXPECT_FALSE(peer.Add(0, 4096, UniqueFd()).ok());
  EXPECT_FALSE(peer.Add(0, 4096, UniqueFd(open("/dev/zero", O_RDWR | O_CLOEXEC))).ok());
  const auto arena = SharedArena::Create();
  const std::shared_ptr<std::byte> buffer = arena->Allocate(100).value();
  const uint64_t size = arena->SegmentAt(0).size;
  EXPECT_FALSE(peer.Add(0, size + 4096, Sent(*arena, 0)).ok());  // another size
  EXPECT_FALSE(peer.Add(1, size, Sent(*arena, 0)).ok());         // another number
  EXPECT_TRUE(peer.Add(0, size, Sent(*arena, 0)).ok());
}

TEST(PeerSegmentsTest, WhatWasResolvedStaysReadable) {
  PeerSegments::Piece piece;
  {
    const auto arena = SharedArena::Create();
    const std::shared_ptr<std::byte> buffer = arena->Allocate(100).value();
    std::memset(buffer.get(), 7, 100);
    PeerSegments peer;
    ASSERT_TRUE(peer.Add(0, arena->SegmentAt(0).size, Sent(*arena, 0)).ok());
    piece = peer.Resolve(0, 0, 100).value();
  }
  EXPECT_EQ(piece.data[99], std::byte{7});
}

}  // namespace
}  // namespace parley
