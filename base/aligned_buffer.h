#ifndef PARLEY_BASE_ALIGNED_BUFFER_H_
#define PARLEY_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace parley {

// Where every parameter, gradient and tensor begins: a cache line and the widest vector. Vectorised
// reductions depend on how their input is aligned, so one alignment everywhere is part of "the same
// bits".
constexpr size_t kBufferAlignment = 64;

struct FreeDeleter {
  void operator()(void* pointer) const { std::free(pointer); }
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeDeleter>;

// `size` bytes, aligned to kBufferAlignment, not initialised; throws std::bad_alloc like new.
// `size` may be 0.
inline AlignedBytes NewAlignedBytes(size_t size) {
  const size_t rounded = (size + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  void* pointer = std::aligned_alloc(kBufferAlignment, rounded == 0 ? kBufferAlignment : rounded);
  if (pointer == nullptr) throw std::bad_alloc();
  return AlignedBytes(static_cast<std::byte*>(pointer));
}

}  // namespace parley

#endif  // PARLEY_BASE_ALIGNED_BUFFER_H_
