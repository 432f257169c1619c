#ifndef PARLEY_PS_FLOAT_BUFFER_H_
#define PARLEY_PS_FLOAT_BUFFER_H_

#include <cstddef>
#include <cstring>

#include "absl/types/span.h"
#include "base/aligned_buffer.h"

namespace parley {

// A fixed number of float32 values, aligned to kBufferAlignment. Owns them; moves, and copies only
// by Copy(). Thread safety: as for a std::vector.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  // Not initialised.
  explicit FloatBuffer(size_t size) : bytes_(NewAlignedBytes(size * sizeof(float))), size_(size) {}

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
  AlignedBytes bytes_;
  size_t size_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_FLOAT_BUFFER_H_
