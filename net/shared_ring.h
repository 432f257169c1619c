#ifndef PARLEY_NET_SHARED_RING_H_
#define PARLEY_NET_SHARED_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace parley {

// A SharedRing is a stream of bytes each way between two processes on one host: two rings in memory
// that both have mapped, and for each side a bell, a futex that the other rings when it has written
// and the side sleeps. Bytes are copied out before anybody looks at them, and of what the other
// side says only how far it is is believed, after a check.
//
// Thread safety: Write, Read and Wait each by one thread at a time, a different one perhaps; Wake
// and Bell from any.
class SharedRing {
 public:
  // One side makes it, the other maps the descriptor that it was sent.
  static absl::StatusOr<std::unique_ptr<SharedRing>> Create();
  // INVALID_ARGUMENT when `fd` is not the memory of a ring, sealed against shrinking.
  static absl::StatusOr<std::unique_ptr<SharedRing>> Map(UniqueFd fd);
  ~SharedRing();
  SharedRing(const SharedRing&) = delete;
  SharedRing& operator=(const SharedRing&) = delete;

  int fd() const { return fd_.get(); }

  // Writes as much as there is room for, which is returned. INVALID_ARGUMENT: the other side has
  // broken the ring.
  absl::StatusOr<size_t> Write(const char* data, size_t size);
  // Appends all that is there to `bytes`. INVALID_ARGUMENT as above.
  absl::Status Read(std::string* bytes);

  // How often this side's bell has rung.
  uint32_t Bell() const;
  // Sleeps until the bell has rung more often than `bell`, or there is something to read, or (with
  // `for_room`) room to write, or until `timeout`. Whether there is something to read.
  bool Wait(uint32_t bell, bool for_room, absl::Duration timeout);
  // Rings this side's own bell, or the other's.
  void Wake();
  void WakePeer();

 private:
  struct Shared;

  SharedRing(UniqueFd fd, Shared* shared, int side)
      : fd_(std::move(fd)), shared_(shared), side_(side) {}
  static absl::StatusOr<std::unique_ptr<SharedRing>> MapAs(UniqueFd fd, int side);
  bool Readable() const;
  bool HasRoom() const;

  const UniqueFd fd_;
  Shared* const shared_;
  const int side_;  // 0 made it, 1 mapped it
  // How far this side is; the copies in the memory are for the other.
  uint64_t written_ = 0;
  uint64_t read_ = 0;
};

}  // namespace parley

#endif  // PARLEY_NET_SHARED_RING_H_
