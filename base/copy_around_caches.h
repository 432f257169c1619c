#ifndef PARLEY_BASE_COPY_AROUND_CACHES_H_
#define PARLEY_BASE_COPY_AROUND_CACHES_H_

#include <cstddef>

namespace parley {

// Copies `size` bytes, which do not overlap, past the caches of this processor: for what another
// processor will read, whose caches may still have what stood there before. To take those lines
// away from it takes longer than to write to memory (bench/RESULTS.md). All is written before what
// this thread writes next. Quickest where `out` is aligned to 32 bytes. Pure otherwise.
void CopyAroundCaches(const void* in, size_t size, void* out);

}  // namespace parley

#endif  // PARLEY_BASE_COPY_AROUND_CACHES_H_
