#ifndef PARLEY_BASE_TSAN_H_
#define PARLEY_BASE_TSAN_H_

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace parley {

// Packaged libraries are not built for ThreadSanitizer, which then cannot see that what one thread
// gave to such a library happens before what another thread gets back from it. The giver calls
// TsanRelease(p) after its last access, the taker TsanAcquire(p) before its first; `p` is any
// address both know. Without ThreadSanitizer both are nothing.
//
// Only for hand-overs whose order the library itself guarantees: this hides, it does not
// synchronise.
inline void TsanRelease([[maybe_unused]] const void* p) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(const_cast<void*>(p));
#endif
}

inline void TsanAcquire([[maybe_unused]] const void* p) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(const_cast<void*>(p));
#endif
}

}  // namespace parley

#endif  // PARLEY_BASE_TSAN_H_
