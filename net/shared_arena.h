#ifndef PARLEY_NET_SHARED_ARENA_H_
#define PARLEY_NET_SHARED_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace parley {

// A SharedArena hands out buffers in memory that other processes on this host can map: segments of
// anonymous memory files (memfd_create), sealed against shrinking, so that a reader cannot be made
// to fault. Buffers of 64 KiB to 4 MiB take memory when they are first handed out, in pages of 2
// MiB where the kernel makes them (Linux 6.1); others when they are written. Freed buffers are
// handed out again, to requests of the same size, so memory stays warm.
//
// Thread safety: safe from any thread. Held by shared_ptr, also by every buffer.
class SharedArena : public std::enable_shared_from_this<SharedArena> {
 public:
  struct Place {
    uint32_t segment;
    uint64_t offset;  // in bytes
  };
  struct Segment {
    int fd;  // the arena's own
    uint64_t size;
  };

  static std::shared_ptr<SharedArena> Create();
  ~SharedArena();

  // `bytes` not initialised bytes, aligned to kBufferAlignment. RESOURCE_EXHAUSTED when the system
  // gives no more.
  absl::StatusOr<std::shared_ptr<std::byte>> Allocate(size_t bytes);

  // Where [data, data + size) is; nothing unless all of it is inside one segment.
  std::optional<Place> Find(const void* data, size_t size) const;
  // The same for many at once, which takes less time.
  struct Range {
    const void* data;
    size_t size;
  };
  std::vector<std::optional<Place>> FindAll(absl::Span<const Range> ranges) const;
  // Makes pages of 2 MiB of what lies at `place`, which comes from Find and has been written, where
  // that was not tried before: addresses are found sooner, and a peer maps 2 MiB at its first
  // touch. May take as long as copying it. Others may read and write it meanwhile.
  void UseHugePages(Place place, size_t size);
  // `segment` comes from Find; lives as long as the arena.
  Segment SegmentAt(uint32_t segment) const;

 private:
  struct Mapping {
    UniqueFd fd;
    std::byte* data;
    size_t size;
    size_t used;
    std::vector<bool> tried;  // by 2 MiB: the kernel was asked for a huge page
  };

  SharedArena() = default;
  // The huge pages that touch [begin, end) as a whole and were not tried; now they are.
  static std::vector<std::byte*> TakeUntried(Mapping* segment, size_t begin, size_t end);
  // A buffer that was freed; null: there is none of this size.
  std::byte* TakeFreed(size_t rounded);
  absl::StatusOr<std::byte*> TakeNew(size_t rounded);
  std::optional<Place> FindLocked(Range range) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AddSegment(size_t least) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Free(std::byte* data, size_t rounded);

  // Held while new memory is handed out and stands in huge pages: the next buffer may be in one of
  // them, and to write it then would break the making.
  Mutex growing_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable Mutex mutex_;
  std::vector<Mapping> segments_ ABSL_GUARDED_BY(mutex_);
  std::map<const std::byte*, uint32_t> by_address_ ABSL_GUARDED_BY(mutex_);  // segments' begins
  std::map<size_t, std::vector<std::byte*>> free_ ABSL_GUARDED_BY(mutex_);   // by size
};

// The segments of a peer's arena, mapped for reading.
// Thread safety: none. What Resolve returned outlives it.
class PeerSegments {
 public:
  // INVALID_ARGUMENT when `fd` is not memory of this size that cannot shrink, or the number is not
  // the next one.
  absl::Status Add(uint32_t segment, uint64_t size, UniqueFd fd);

  struct Piece {
    const std::byte* data;
    std::shared_ptr<const void> mapping;  // keeps it mapped
  };
  // INVALID_ARGUMENT when it is not inside a segment.
  absl::StatusOr<Piece> Resolve(uint32_t segment, uint64_t offset, uint64_t size) const;

 private:
  struct Mapping {
    const std::byte* data;
    uint64_t size;
    ~Mapping();
  };
  std::vector<std::shared_ptr<const Mapping>> segments_;
};

}  // namespace parley

#endif  // PARLEY_NET_SHARED_ARENA_H_
