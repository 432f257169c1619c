#include "base/finite.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace parley {
namespace {

constexpr uint32_t kInfinity = 0x7f800000;
constexpr uint16_t kBFloat16Infinity = 0x7f80;
constexpr uint16_t kFloat16Infinity = 0x7c00;

// Of the two widths: the bits without signs, the larger of two, and the largest in a vector.
struct Words {
  typedef uint32_t Bits;
  static __m256i Magnitude(__m256i bits) {
    return _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  }
  static __m256i Larger(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }
};

struct Halves {
  typedef uint16_t Bits;
  static __m256i Magnitude(__m256i bits) {
    return _mm256_and_si256(bits, _mm256_set1_epi16(0x7fff));
  }
  static __m256i Larger(__m256i a, __m256i b) { return _mm256_max_epu16(a, b); }
};

// Uses of what was read: nothing, or a copy of it.
struct OnlyRead {
  void Vector(size_t, __m256i) const {}
  void Rest(size_t, const void*, size_t) const {}
};

struct Copy {
  char* const out;
  void Vector(size_t at, __m256i bits) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at), bits);
  }
  void Rest(size_t at, const void* in, size_t size) const { std::memcpy(out + at, in, size); }
};

// The largest magnitude among the numbers in `bytes` bytes. Four vectors at a time, so that none
// waits for the one before.
template <typename Width, typename Use>
typename Width::Bits Largest(const void* data, size_t bytes, Use use) {
  constexpr size_t kVector = sizeof(__m256i);
  const char* const in = static_cast<const char*>(data);
  __m256i largest[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                        _mm256_setzero_si256()};
  size_t at = 0;
  const auto one = [&](__m256i* largest_here) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + at));
    use.Vector(at, bits);
    *largest_here = Width::Larger(*largest_here, Width::Magnitude(bits));
    at += kVector;
  };
  while (at + 4 * kVector <= bytes) {
    one(&largest[0]);
    one(&largest[1]);
    one(&largest[2]);
    one(&largest[3]);
  }
  while (at + kVector <= bytes) one(&largest[0]);
  if (at < bytes) {
    alignas(__m256i) char rest[kVector] = {};
    std::memcpy(rest, in + at, bytes - at);
    use.Rest(at, in + at, bytes - at);
    largest[1] = Width::Larger(
        largest[1], Width::Magnitude(_mm256_load_si256(reinterpret_cast<const __m256i*>(rest))));
  }
  const __m256i all =
      Width::Larger(Width::Larger(largest[0], largest[1]), Width::Larger(largest[2], largest[3]));
  typename Width::Bits lanes[kVector / sizeof(typename Width::Bits)];
  std::memcpy(lanes, &all, kVector);
  return *std::max_element(std::begin(lanes), std::end(lanes));
}

}  // namespace

bool AllFinite(const float* in, size_t count) {
  return Largest<Words>(in, count * sizeof(float), OnlyRead()) < kInfinity;
}

bool AllFiniteBFloat16(const void* in, size_t count) {
  return Largest<Halves>(in, 2 * count, OnlyRead()) < kBFloat16Infinity;
}

bool AllFiniteFloat16(const void* in, size_t count) {
  return Largest<Halves>(in, 2 * count, OnlyRead()) < kFloat16Infinity;
}

bool CopyFinite(const float* in, size_t count, void* out) {
  return Largest<Words>(in, count * sizeof(float), Copy{static_cast<char*>(out)}) < kInfinity;
}

int64_t FindNotFinite(const float* in, size_t count) {
  constexpr size_t kPiece = 4096;
  for (size_t begin = 0; begin < count; begin += kPiece) {
    const size_t end = std::min(count, begin + kPiece);
    if (AllFinite(in + begin, end - begin)) continue;
    for (size_t i = begin; i < end; ++i) {
      if (!AllFinite(in + i, 1)) return static_cast<int64_t>(i);
    }
  }
  return -1;
}

}  // namespace parley
