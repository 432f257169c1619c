#include "tensor/cpu_dropout.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"

namespace parley {
namespace {

// Eight calls of Philox (base/philox.h) at once make this many words.
constexpr int64_t kWords = 32;

struct Products {
  __m256i high;
  __m256i low;
};

// The halves of the 64-bit products of each lane.
Products Multiply(__m256i a, uint32_t by) {
  const __m256i b = _mm256_set1_epi64x(by);
  const __m256i even = _mm256_mul_epu32(a, b);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA),
          _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA)};
}

// words[4 c + k] = word k of Philox(key, high, low + c), for c < 8.
void PhiloxWords(uint64_t key, uint64_t high, uint64_t low, uint32_t* words) {
  const auto same = [](uint64_t bits) { return _mm256_set1_epi32(static_cast<int>(bits)); };
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  // The counters' low halves may pass 2^32 in between.
  alignas(32) uint32_t carries[8];
  for (uint64_t c = 0; c < 8; ++c) carries[c] = static_cast<uint32_t>((low + c) >> 32);
  __m256i c0 = _mm256_add_epi32(same(low), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  __m256i c1 = _mm256_load_si256(reinterpret_cast<const __m256i*>(carries));
  __m256i c2 = same(high), c3 = same(high >> 32);
  for (int round = 0; round < 10; ++round) {
    const Products a = Multiply(c0, 0xD2511F53), b = Multiply(c2, 0xCD9E8D57);
    c0 = _mm256_xor_si256(_mm256_xor_si256(b.high, c1), same(key0));
    c2 = _mm256_xor_si256(_mm256_xor_si256(a.high, c3), same(key1));
    c1 = b.low;
    c3 = a.low;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  // From a vector a word to a counter after the other.
  const __m256i t0 = _mm256_unpacklo_epi32(c0, c1), t1 = _mm256_unpackhi_epi32(c0, c1);
  const __m256i t2 = _mm256_unpacklo_epi32(c2, c3), t3 = _mm256_unpackhi_epi32(c2, c3);
  const __m256i u0 = _mm256_unpacklo_epi64(t0, t2), u1 = _mm256_unpackhi_epi64(t0, t2);
  const __m256i u2 = _mm256_unpacklo_epi64(t1, t3), u3 = _mm256_unpackhi_epi64(t1, t3);
  auto* const out = reinterpret_cast<__m256i*>(words);
  _mm256_storeu_si256(out, _mm256_permute2x128_si256(u0, u1, 0x20));
  _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(u2, u3, 0x20));
  _mm256_storeu_si256(out + 2, _mm256_permute2x128_si256(u0, u1, 0x31));
  _mm256_storeu_si256(out + 3, _mm256_permute2x128_si256(u2, u3, 0x31));
}

// All bits of the lanes whose word is at least `bound`.
__m256 AtLeast(const uint32_t* words, uint32_t bound, const float*) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
  const __m256i b = _mm256_set1_epi32(static_cast<int>(bound));
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(w, b), w));
}
__m256d AtLeast(const uint32_t* words, uint32_t bound, const double*) {
  const __m256i w = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)));
  return _mm256_castsi256_pd(_mm256_cmpgt_epi64(w, _mm256_set1_epi64x(int64_t{bound} - 1)));
}

}  // namespace

void CpuDropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream, Write write,
                const Tensor& y) {
  CHECK(x.dtype() == y.dtype() && x.num_elements() == y.num_elements());
  CHECK(rate >= 0 && rate < 1) << "rate " << rate;
  // A word is at least rate * 2^32 when it is at least that rounded up; none is 2^32.
  const double bound = std::ceil(std::ldexp(rate, 32));
  const bool drops_all = bound >= 0x1p32;
  const auto least = drops_all ? 0 : static_cast<uint32_t>(bound);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    const Lanes<T> factor = SameLanes(drops_all ? W(0) : static_cast<W>(1 / (1 - rate)));
    const Lanes<T> zeros = SameLanes(W(0));
    uint32_t words[kWords];
    for (int64_t begin = 0; begin < x.num_elements(); begin += kWords) {
      PhiloxWords(seed, stream, static_cast<uint64_t>(begin / 4), words);
      const int64_t count = std::min(kWords, x.num_elements() - begin);
      ForLanes<T>(count, [&](int64_t i, auto place) {
        const Lanes<T> kept = AtLeast(words + i, least, static_cast<const W*>(nullptr));
        const Lanes<T> v = Load(x.As<const T>() + begin + i, place) * factor;
        Put(y.As<T>() + begin + i, Select(kept, v, zeros), write, place);
      });
    }
  });
}

}  // namespace parley
