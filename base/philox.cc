#include "base/philox.h"

#include <cmath>

namespace parley {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9;
constexpr uint32_t kWeyl1 = 0xBB67AE85;
constexpr double kTwoPi = 6.283185307179586;

}  // namespace

std::array<uint32_t, 4> Philox(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  std::array<uint32_t, 4> c = {
      static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
      static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * c[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * c[2];
    c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return c;
}

uint64_t PhiloxUint64(uint64_t key, uint64_t stream, uint64_t index) {
  const std::array<uint32_t, 4> words = Philox(key, stream, index);
  return (uint64_t{words[1]} << 32) | words[0];
}

float PhiloxUniform(uint64_t key, uint64_t stream, uint64_t index) {
  return static_cast<float>(Philox(key, stream, index)[0] >> 8) * 0x1p-24f;
}

float PhiloxNormal(uint64_t key, uint64_t stream, uint64_t index) {
  const std::array<uint32_t, 4> words = Philox(key, stream, index);
  // (0, 1], so that the logarithm is finite.
  const double u = (static_cast<double>(words[0]) + 1.0) * 0x1p-32;
  const double v = static_cast<double>(words[1]) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(kTwoPi * v));
}

uint64_t PhiloxBelow(uint64_t key, uint64_t stream, uint64_t index, uint64_t bound) {
  const unsigned __int128 product =
      static_cast<unsigned __int128>(PhiloxUint64(key, stream, index)) * bound;
  return static_cast<uint64_t>(product >> 64);
}

}  // namespace parley
