#ifndef PARLEY_BASE_KEEP_FREED_MEMORY_H_
#define PARLEY_BASE_KEEP_FREED_MEMORY_H_

#include <malloc.h>

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
#endif
}

}  // namespace parley

#endif  // PARLEY_BASE_KEEP_FREED_MEMORY_H_
