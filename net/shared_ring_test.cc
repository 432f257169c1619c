#include "net/shared_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace parley {
namespace {

constexpr absl::Duration kLong = absl::Minutes(1);

class SharedRingTest : public testing::Test {
 protected:
  SharedRingTest()
      : maker_(*SharedRing::Create()), taker_(*SharedRing::Map(UniqueFd(dup(maker_->fd())))) {}

  const std::unique_ptr<SharedRing> maker_, taker_;
};

std::string Pattern(size_t size) {
  std::string bytes(size, 0);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 131 + i / 257);
  return bytes;
}

// Writes all of it, waiting for room.
void WriteAll(SharedRing* ring, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const uint32_t bell = ring->Bell();
    const absl::StatusOr<size_t> taken = ring->Write(bytes.data() + done, bytes.size() - done);
    ASSERT_TRUE(taken.ok()) << taken.status();
    done += *taken;
    if (*taken == 0) ring->Wait(bell, /*for_room=*/true, kLong);
  }
}

std::string ReadAll(SharedRing* ring, size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    const uint32_t bell = ring->Bell();
    const size_t had = bytes.size();
    EXPECT_TRUE(ring->Read(&bytes).ok());
    if (bytes.size() == had) ring->Wait(bell, /*for_room=*/false, kLong);
  }
  return bytes;
}

TEST_F(SharedRingTest, BytesArriveInOrderBothWaysAtOnce) {
  const std::string bytes = Pattern(3'000'001);  // many times round
  std::string back;
  std::thread peer([&] {
    back = ReadAll(taker_.get(), bytes.size());
    WriteAll(taker_.get(), back);
  });
  WriteAll(maker_.get(), bytes);
  EXPECT_EQ(ReadAll(maker_.get(), bytes.size()), bytes);
  peer.join();
  EXPECT_EQ(back, bytes);
}

TEST_F(SharedRingTest, AFullRingTakesNothingUntilItIsRead) {
  const std::string bytes = Pattern(1'000'000);
  const size_t room = *maker_->Write(bytes.data(), bytes.size());
  ASSERT_LT(room, bytes.size());
  EXPECT_EQ(*maker_->Write(bytes.data(), 1), 0u);
  std::string read;
  ASSERT_TRUE(taker_->Read(&read).ok());
  EXPECT_EQ(read, bytes.substr(0, room));
  EXPECT_EQ(*maker_->Write(bytes.data(), bytes.size()), room);
}

TEST_F(SharedRingTest, ARingOfTheBellBeforeTheWaitIsNotLost) {
  const uint32_t bell = maker_->Bell();
  maker_->Wake();
  EXPECT_FALSE(maker_->Wait(bell, false, kLong));  // returns
  const uint32_t again = maker_->Bell();
  taker_->WakePeer();
  EXPECT_FALSE(maker_->Wait(again, false, kLong));
}

TEST_F(SharedRingTest, AWaitEndsAtItsTimeout) {
  EXPECT_FALSE(maker_->Wait(maker_->Bell(), false, absl::Milliseconds(1)));
}

TEST_F(SharedRingTest, MemoryThatIsNoRingIsRefused) {
  const auto refused = [](UniqueFd fd) {
    return SharedRing::Map(std::move(fd)).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused(UniqueFd()));
  EXPECT_TRUE(refused(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC))));
  EXPECT_TRUE(refused(UniqueFd(memfd_create("unsealed", MFD_CLOEXEC))));
  UniqueFd small(memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  fcntl(small.get(), F_ADD_SEALS, F_SEAL_SHRINK);
  EXPECT_TRUE(refused(std::move(small)));
}

TEST_F(SharedRingTest, APeerThatBreaksItIsFoundOut) {
  // All of it but the bytes: counts of any kind.
  auto* const memory = static_cast<unsigned char*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, maker_->fd(), 0));
  ASSERT_NE(memory, MAP_FAILED);
  for (int i = 0; i < 256; ++i) memory[i] = 0xee;
  munmap(memory, 4096);
  std::string bytes;
  EXPECT_EQ(taker_->Read(&bytes).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(maker_->Read(&bytes).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(maker_->Write("x", 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(bytes.empty());
}

}  // namespace
}  // namespace parley
