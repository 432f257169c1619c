#ifndef PARLEY_PS_REUSED_BUFFERS_H_
#define PARLEY_PS_REUSED_BUFFERS_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/mutex.h"

namespace parley {

// Buffers for one who reads many pieces of the same few sizes: one that its reader has let go is
// handed out again, for memory that was not used before costs more than reading into it.
// Thread safety: safe from any thread. Held by shared_ptr, also by every buffer.
class ReusedBuffers : public std::enable_shared_from_this<ReusedBuffers> {
 public:
  static std::shared_ptr<ReusedBuffers> Create();

  // `size` bytes, aligned to kBufferAlignment, not initialised.
  std::shared_ptr<std::byte> Take(size_t size);

 private:
  ReusedBuffers() = default;
  void Return(size_t size, AlignedBytes buffer);

  // That wait to be handed out again.
  static constexpr size_t kMostKept = 64;
  static constexpr size_t kMostBytes = 64 << 20;
  Mutex mutex_;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;                                   // of free_
  std::vector<std::pair<size_t, AlignedBytes>> free_ ABSL_GUARDED_BY(mutex_);  // by size
};

}  // namespace parley

#endif  // PARLEY_PS_REUSED_BUFFERS_H_
