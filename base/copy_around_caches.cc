#include "base/copy_around_caches.h"

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace parley {

void CopyAroundCaches(const void* in, size_t size, void* out) {
  constexpr size_t kVector = sizeof(__m256i);
  constexpr size_t kLine = 2 * kVector;
  const char* from = static_cast<const char*>(in);
  char* to = static_cast<char*>(out);
  const size_t before =
      std::min(size, (kVector - reinterpret_cast<uintptr_t>(to) % kVector) % kVector);
  std::memcpy(to, from, before);
  from += before;
  to += before;
  size -= before;
  for (; size >= kLine; size -= kLine, from += kLine, to += kLine) {
    const auto* const source = reinterpret_cast<const __m256i*>(from);
    auto* const target = reinterpret_cast<__m256i*>(to);
    const __m256i first = _mm256_loadu_si256(source);
    const __m256i second = _mm256_loadu_si256(source + 1);
    _mm256_stream_si256(target, first);
    _mm256_stream_si256(target + 1, second);
  }
  std::memcpy(to, from, size);
  _mm_sfence();
}

}  // namespace parley
