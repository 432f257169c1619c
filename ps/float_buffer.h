#ifndef PARLEY_PS_FLOAT_BUFFER_H_
#define PARLEY_PS_FLOAT_BUFFER_H_

#include <cstddef>
#include <cstring>
#include <memory>

#include "absl/types/span.h"
#include "base/aligned_buffer.h"
#include "net/shared_arena.h"

namespace parley {

// A fixed number of float32 values, aligned to kBufferAlignment. Owns them; moves, and copies only
// by Copy(). Thread safety: as for a std::vector.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  FloatBuffer(FloatBuffer&&) = default;
  FloatBuffer& operator=(FloatBuffer&&) = default;
  // Not initialised.
  explicit FloatBuffer(size_t size)
      : bytes_(NewAlignedBytes(size * sizeof(float)).release(), FreeDeleter()), size_(size) {}
  // In `arena`; elsewhere when that is null or gives no more.
  FloatBuffer(size_t size, SharedArena* arena) : size_(size) {
    absl::StatusOr<std::shared_ptr<std::byte>> shared = arena == nullptr
                                                            ? absl::UnavailableError("no arena")
                                                            : arena->Allocate(size * sizeof(float));
    if (shared.ok()) {
      bytes_ = *std::move(shared);
    } else {
      *this = FloatBuffer(size);
    }
  }

  static FloatBuffer Zeros(size_t size) {
    FloatBuffer result(size);
    std::memset(result.bytes_.get(), 0, size * sizeof(float));
    return result;
  }
  FloatBuffer Copy() const {
    FloatBuffer result(size_);
    if (size_ > 0) std::memcpy(result.bytes_.get(), bytes_.get(), size_ * sizeof(float));
    return result;
  }

  size_t size() const { return size_; }
  float* data() { return reinterpret_cast<float*>(bytes_.get()); }
  const float* data() const { return reinterpret_cast<const float*>(bytes_.get()); }
  absl::Span<float> span() { return {data(), size_}; }
  absl::Span<const float> span() const { return {data(), size_}; }

 private:
  std::shared_ptr<std::byte> bytes_;  // nobody else has it
  size_t size_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_FLOAT_BUFFER_H_
