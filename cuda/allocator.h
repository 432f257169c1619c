#ifndef PARLEY_CUDA_ALLOCATOR_H_
#define PARLEY_CUDA_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace parley {

// Where a CachingAllocator gets its memory from: a device, pinned host memory (device_memory.h), or
// a test. Thread safety: safe from any thread.
class RawAllocator {
 public:
  virtual ~RawAllocator() = default;
  // `bytes`, more than 0, aligned to at least 256. RESOURCE_EXHAUSTED when there are none.
  virtual absl::StatusOr<void*> Allocate(size_t bytes) = 0;
  // What Allocate gave; waits until the device does no longer use it.
  virtual void Free(void* memory, size_t bytes) = 0;
};

// A CachingAllocator keeps what is freed for the next request of the same size class, for getting
// memory from a device takes longer than most computations, and giving it back waits for all.
//
// Freed memory is handed out again at once: right for one device whose work all runs in the order
// in which it is enqueued (its one compute stream), where whoever has it next comes after whoever
// had it before. Work that runs beside that order keeps the memory until it is done
// (pending_copies.h).
//
// A request is rounded up to a size class: multiples of 512 bytes up to 4 KiB, then eight classes
// for each doubling, so at most an eighth is wasted. When the limit is reached, or the source has
// no more, everything cached is given back and the request is tried once more.
//
// Thread safety: safe from any thread. Memory may outlive the allocator, not its source's device.
class CachingAllocator {
 public:
  struct Options {
    // Of all memory held, in use or cached; in bytes.
    size_t limit = std::numeric_limits<size_t>::max();
    // Of the messages: "cuda:0".
    std::string name;
  };
  struct Usage {
    size_t in_use = 0;  // bytes, as rounded
    size_t cached = 0;
    size_t peak_in_use = 0;
    int64_t raw_allocations = 0;  // so far
  };

  CachingAllocator(std::unique_ptr<RawAllocator> source, Options options);

  // RESOURCE_EXHAUSTED, saying how much was asked for and how much is in use, when there is no
  // more. 0 bytes are a small piece of memory.
  absl::StatusOr<std::shared_ptr<void>> Allocate(size_t bytes);
  // Gives everything cached back to the source.
  void ReleaseCached();
  Usage usage() const;

  // The size class of a request.
  static size_t RoundedSize(size_t bytes);

 private:
  class Pool;

  const std::shared_ptr<Pool> pool_;
};

}  // namespace parley

#endif  // PARLEY_CUDA_ALLOCATOR_H_
