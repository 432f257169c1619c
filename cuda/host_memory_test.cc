#include "cuda/host_memory.h"

#include <cstdint>
#include <cstring>

#include "gtest/gtest.h"

namespace parley {
namespace {

// Pinned on a machine with a device, ordinary on any other.
TEST(PinnedMemoryTest, IsAlignedAndWritableWithAndWithoutADevice) {
  const auto memory = NewPinnedMemory();
  for (const size_t bytes : {size_t{1}, size_t{512}, size_t{5} << 20}) {
    const auto piece = memory->Allocate(bytes);
    ASSERT_TRUE(piece.ok()) << piece.status();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(*piece) % 256, 0u);
    std::memset(*piece, 1, bytes);
    memory->Free(*piece, bytes);
  }
}

TEST(PinnedMemoryTest, MoreThanThereIsIsRefused) {
  const auto memory = NewPinnedMemory();
  EXPECT_EQ(memory->Allocate(SIZE_MAX).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace parley
