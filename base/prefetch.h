#ifndef PARLEY_BASE_PREFETCH_H_
#define PARLEY_BASE_PREFETCH_H_

#include <cstddef>
#include <cstdint>

namespace parley {

constexpr size_t kCacheLine = 64;  // bytes

// Asks for a cache line that will be read soon. Any address does: what is not there is not read.
// This is no __builtin_prefetch, since GCC takes a function that does nothing but that for one
// without effects, and leaves its calls out.
inline void PrefetchLine(const void* at) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 (%0)" : : "r"(at));
#else
  __builtin_prefetch(at);
#endif
}

// Asks for the lines of `bytes`, at least 1: of no more than the first 8, since a processor follows
// what comes after by itself.
inline void PrefetchLines(const void* at, size_t bytes) {
  constexpr size_t kMost = 8 * kCacheLine;
  const char* const begin = static_cast<const char*>(at);
  const size_t end = bytes < kMost ? bytes : kMost;
  for (size_t i = 0; i < end; i += kCacheLine) PrefetchLine(begin + i);
  // What does not begin at a line's begin may touch one line more.
  if (reinterpret_cast<uintptr_t>(begin) % kCacheLine != 0) PrefetchLine(begin + end - 1);
}

}  // namespace parley

#endif  // PARLEY_BASE_PREFETCH_H_
