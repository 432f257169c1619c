#include "base/crc32c.h"

#include <nmmintrin.h>

#include <array>
#include <cstring>

namespace parley {
namespace {

// The instruction gives a result after three cycles and takes a word in each, so three thirds of a
// stretch are summed side by side. The sum of two pieces one after another is the sum of the first,
// as if the second were zeros, plus that of the second; the first part is linear in the bits of the
// first's sum, so tables for its four bytes give it.
class Zeros {
 public:
  // Appends `bytes` zeros, a power of two.
  explicit Zeros(size_t bytes) {
    std::array<uint32_t, 32> step;  // what appending so many zeros makes of each bit
    step[0] = 0x82F63B78u;          // one bit of zero
    for (size_t i = 1; i < 32; ++i) step[i] = uint32_t{1} << (i - 1);
    for (size_t bits = 1; bits < 8 * bytes; bits *= 2) step = Twice(step);
    for (size_t byte = 0; byte < 4; ++byte) {
      for (uint32_t value = 0; value < 256; ++value) {
        tables_[byte][value] = Times(step, value << (8 * byte));
      }
    }
  }

  uint32_t After(uint32_t crc) const {
    return tables_[0][crc & 255] ^ tables_[1][(crc >> 8) & 255] ^ tables_[2][(crc >> 16) & 255] ^
           tables_[3][crc >> 24];
  }

 private:
  static uint32_t Times(const std::array<uint32_t, 32>& step, uint32_t bits) {
    uint32_t sum = 0;
    for (size_t i = 0; bits != 0; ++i, bits >>= 1) sum ^= (bits & 1) != 0 ? step[i] : 0;
    return sum;
  }
  static std::array<uint32_t, 32> Twice(const std::array<uint32_t, 32>& step) {
    std::array<uint32_t, 32> twice;
    for (size_t i = 0; i < 32; ++i) twice[i] = Times(step, step[i]);
    return twice;
  }

  std::array<std::array<uint32_t, 256>, 4> tables_;
};

constexpr size_t kThird = 4096;

uint64_t WordAt(const unsigned char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
  const unsigned char* bytes = static_cast<const unsigned char*>(data);
  uint64_t state = ~crc;
  if (size >= 3 * kThird) {
    static const Zeros* const zeros = new Zeros(kThird);
    for (; size >= 3 * kThird; size -= 3 * kThird, bytes += 3 * kThird) {
      uint64_t second = 0;
      uint64_t third = 0;
      for (size_t i = 0; i < kThird; i += 8) {
        state = _mm_crc32_u64(state, WordAt(bytes + i));
        second = _mm_crc32_u64(second, WordAt(bytes + kThird + i));
        third = _mm_crc32_u64(third, WordAt(bytes + 2 * kThird + i));
      }
      state = zeros->After(static_cast<uint32_t>(state)) ^ second;
      state = zeros->After(static_cast<uint32_t>(state)) ^ third;
    }
  }
  for (; size >= 8; size -= 8, bytes += 8) state = _mm_crc32_u64(state, WordAt(bytes));
  for (; size > 0; --size, ++bytes) {
    state = _mm_crc32_u8(static_cast<uint32_t>(state), *bytes);
  }
  return ~static_cast<uint32_t>(state);
}

}  // namespace parley
