#ifndef PARLEY_BASE_KEEP_FREED_MEMORY_H_
#define PARLEY_BASE_KEEP_FREED_MEMORY_H_

#include <malloc.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace parley {

// Makes malloc hand freed memory out again instead of giving it back to the system, which would
// clear every page anew: messages of some MiB come and go all the time, and page faults cost as
// much as moving the bytes. One heap for all threads, as what one of them frees another asks for
// next; small pieces stay with their threads all the same. For the main() of a program, before its
// threads; a library leaves the choice to its user.
inline void KeepFreedMemory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 1);
#ifdef MADV_HUGEPAGE
  // The heap's next 512 MiB, of addresses, not of memory: what is touched of them comes in pages of
  // 2 MiB where the system has them for those who ask.
  constexpr size_t kHeap = size_t{512} << 20;
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  void* const heap = std::malloc(kHeap);
  const uintptr_t begin = reinterpret_cast<uintptr_t>(heap);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (begin + kHeap) / kHugePage * kHugePage;
  if (heap != nullptr) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  std::free(heap);
#endif
#endif
}

}  // namespace parley

#endif  // PARLEY_BASE_KEEP_FREED_MEMORY_H_
