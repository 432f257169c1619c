#include "net/shared_ring.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

constexpr size_t kRingBytes = size_t{256} << 10;  // each way; a power of two

// What a side waits for.
constexpr uint32_t kAwake = 0;
constexpr uint32_t kForBytes = 1;
constexpr uint32_t kForRoom = 2;  // or bytes

absl::Status SystemError(absl::string_view what) {
  return absl::ResourceExhaustedError(absl::StrCat("shared ring: ", what, ": ", strerror(errno)));
}

absl::Status Broken() {
  return absl::InvalidArgumentError("shared ring: the other side has broken it");
}

}  // namespace

struct SharedRing::Shared {
  struct Way {
    alignas(64) std::atomic<uint64_t> written;  // bytes, by the writer
    alignas(64) std::atomic<uint64_t> read;     // bytes, by the reader
  };
  struct Bell {
    alignas(64) std::atomic<uint32_t> rung;
    std::atomic<uint32_t> waiting;
  };
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  void Ring(int side) {
    bells[side].rung.fetch_add(1, std::memory_order_release);
    syscall(SYS_futex, &bells[side].rung, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }

  Way ways[2];  // by the writer's side
  Bell bells[2];
  alignas(64) char bytes[2][kRingBytes];  // by the writer's side
};

absl::StatusOr<std::unique_ptr<SharedRing>> SharedRing::Create() {
  UniqueFd fd(memfd_create("parley ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return SystemError("memfd_create");
  if (ftruncate(fd.get(), sizeof(Shared)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return SystemError(absl::StrCat(sizeof(Shared), " bytes"));
  }
  return MapAs(std::move(fd), 0);  // a new file is zeros: nothing written, nobody waiting
}

absl::StatusOr<std::unique_ptr<SharedRing>> SharedRing::Map(UniqueFd fd) {
  struct stat status;
  const int seals = fd.valid() ? fcntl(fd.get(), F_GET_SEALS) : -1;
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd.get(), &status) != 0 ||
      static_cast<uint64_t>(status.st_size) != sizeof(Shared)) {
    return absl::InvalidArgumentError(
        "shared ring: this is not memory of its size, sealed against shrinking");
  }
  return MapAs(std::move(fd), 1);
}

absl::StatusOr<std::unique_ptr<SharedRing>> SharedRing::MapAs(UniqueFd fd, int side) {
  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return SystemError("mapping it");
  return std::unique_ptr<SharedRing>(
      new SharedRing(std::move(fd), static_cast<Shared*>(memory), side));
}

SharedRing::~SharedRing() { munmap(shared_, sizeof(Shared)); }

absl::StatusOr<size_t> SharedRing::Write(const char* data, size_t size) {
  Shared::Way& way = shared_->ways[side_];
  const uint64_t used = written_ - way.read.load(std::memory_order_acquire);
  if (used > kRingBytes) return Broken();
  const size_t taken = std::min(size, kRingBytes - static_cast<size_t>(used));
  if (taken == 0) return taken;
  char* const ring = shared_->bytes[side_];
  const size_t at = written_ % kRingBytes;
  const size_t first = std::min(taken, kRingBytes - at);
  std::memcpy(ring + at, data, first);
  std::memcpy(ring, data + first, taken - first);
  written_ += taken;
  // Either the other side sees the bytes before it sleeps, or it is seen to sleep here: these two
  // and those in Wait are sequentially consistent.
  way.written.store(written_);
  const int other = 1 - side_;
  if (shared_->bells[other].waiting.load() != kAwake) shared_->Ring(other);
  return taken;
}

absl::Status SharedRing::Read(std::string* bytes) {
  const int other = 1 - side_;
  Shared::Way& way = shared_->ways[other];
  const uint64_t there = way.written.load(std::memory_order_acquire) - read_;
  if (there == 0) return absl::OkStatus();
  if (there > kRingBytes) return Broken();
  const char* const ring = shared_->bytes[other];
  const size_t at = read_ % kRingBytes;
  const size_t first = std::min(static_cast<size_t>(there), kRingBytes - at);
  bytes->append(ring + at, first);
  bytes->append(ring, static_cast<size_t>(there) - first);
  read_ += there;
  way.read.store(read_);
  if (shared_->bells[other].waiting.load() == kForRoom) {
    shared_->Ring(other);
  }
  return absl::OkStatus();
}

bool SharedRing::Readable() const { return shared_->ways[1 - side_].written.load() != read_; }

bool SharedRing::HasRoom() const {
  return written_ - shared_->ways[side_].read.load() != kRingBytes;
}

uint32_t SharedRing::Bell() const {
  return shared_->bells[side_].rung.load(std::memory_order_acquire);
}

bool SharedRing::Wait(uint32_t bell, bool for_room, absl::Duration timeout) {
  Shared::Bell& own = shared_->bells[side_];
  own.waiting.store(for_room ? kForRoom : kForBytes);
  if (!Readable() && !(for_room && HasRoom())) {
    const timespec time = absl::ToTimespec(timeout);
    syscall(SYS_futex, &own.rung, FUTEX_WAIT, bell, &time, nullptr, 0);
  }
  own.waiting.store(kAwake, std::memory_order_relaxed);
  return Readable();
}

void SharedRing::Wake() { shared_->Ring(side_); }
void SharedRing::WakePeer() { shared_->Ring(1 - side_); }

}  // namespace parley
